"""A server that answers as a test says, for replies that a real server gives rarely."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from threading import Thread
from typing import Any

from headstart import Client

TASK = {
    "id": "task_1",
    "name": "n",
    "version": 1,
    "backbone": "b@1",
    "classes": [{"label": "a", "examples": 1, "colour": "new"}, {"label": "b", "examples": 1}],
    "head": {"solver": "logistic", "C": 3.0, "temperature": 1.0, "centre": True},
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "timing_ms": {"total": 1.0},
    "invented_later": {"more": True},
}
PAIR = [("a", b"1"), ("b", b"2")]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None
    retry_after: str | None = None
    kind: str | None = None
    at_least: str | None = None
    after: float = 0.0


@dataclass(frozen=True)
class Sent:
    method: str
    path: str
    key: str | None
    body: bytes
    at_least: str | None


LOST = None  # the request is read, and the connection closed without an answer


def problem(status: int, code: str, retry_after: str | None = None, detail: str = "why") -> Answer:
    body = {"type": "about:blank", "title": "", "status": status, "code": code, "detail": detail, "request_id": "req_1"}
    return Answer(status, body, retry_after)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a client that has gone. It would be said in the middle of another test, which may look at stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def network(*script: Answer | None, timeout: float = 30.0) -> Iterator[tuple[Client, list[Sent]]]:
    """A client of a server that gives these answers, one after the other, and then the last for ever.

    Args:
        timeout: seconds that the client waits for an answer.
    """
    sent: list[Sent] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            sent.append(
                Sent(self.command, self.path, self.headers.get("Idempotency-Key"), body, self.headers.get("Headstart-At-Least"))
            )
            answer = script[min(len(sent), len(script)) - 1]
            if answer is LOST:
                return
            time.sleep(answer.after)
            content = answer.body if isinstance(answer.body, bytes) else dumps(answer.body).encode()
            self.send_response(answer.status)
            if answer.kind is not None:
                self.send_header("Content-Type", answer.kind)
            if answer.retry_after is not None:
                self.send_header("Retry-After", answer.retry_after)
            if answer.at_least is not None:
                self.send_header("Headstart-At-Least", answer.at_least)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with Client(f"http://127.0.0.1:{server.server_port}", timeout=timeout) as client:
                yield client, sent
        finally:
            server.shutdown()
            thread.join()
