"""Requests to the application from within its process: those of gRPC, and those of the tools for agents.

Keys, tenants, quotas, limits, the audit and errors are then those of a request that came over a socket.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from starlette.types import Message, Receive, Scope, Send

from server.errors import HeadstartError
from server.http.protocol import REFUSED
from server.settings import Settings

_log = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes, bytes]]

_HOST = (b"host", b"localhost")  # Every server knows itself by this name.


class Application(Protocol):
    """An ASGI application that also tells, by the head of a request, whether it would be answered."""

    def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> Awaitable[None]: ...

    def admits(self, scope: Scope, /) -> Awaitable[bool]:
        """Returns whether a request may be answered, as far as its head tells."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        path: decoded, and below the application's root.
        headers: of its body, beside its length.
        query: what follows the question mark, encoded.
    """

    method: str
    path: str
    headers: Headers = ()
    body: bytes = b""
    query: bytes = b""


@dataclass(slots=True)
class Answer:
    """An answer; its status is 0 before it begins."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Returns a header by its name in lower case."""
        return next((value for each, value in self.headers if each == name), None)


class Inside:
    """A client of the application.

    Its requests have the scheme and the prefix of the server's own addresses.
    """

    def __init__(self, app: Application, settings: Settings) -> None:
        self._app = app
        self._root = settings.root
        self._scheme = settings.scheme
        self._left: set[asyncio.Task[None]] = set()  # answers whose client has left; a task that nobody holds may vanish

    async def admits(self, asked: Asked, headers: Headers) -> bool:
        """Returns whether a request with further headers may be answered, as far as its head tells."""
        return await self._app.admits(self._scope(asked, headers))

    async def ask(self, asked: Asked, headers: Headers, refused: HeadstartError | None = None) -> Answer:
        """Returns the answer to a request with further headers.

        If the caller is cancelled, the application sees a client that has left.

        Args:
            refused: the error that the application answers with, as where a connection refuses a request.
        """
        answer = Answer(0, (), b"")
        scope = self._scope(asked, headers)
        if refused is not None:
            scope[REFUSED] = refused
        leaving = asyncio.Event()
        coming: list[Message] = [{"type": "http.request", "body": asked.body, "more_body": False}]

        async def receive() -> Message:
            if coming:
                return coming.pop()
            await leaving.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], message["headers"]
            else:
                answer.body += message.get("body", b"")

        # In a task of its own, because a request's account and trail are in the context of its task.
        answering = asyncio.ensure_future(_called(self._app, scope, receive, send))
        try:
            await asyncio.shield(answering)
        except asyncio.CancelledError:
            leaving.set()
            self._left.add(answering)
            answering.add_done_callback(self._ended)
            raise
        return answer

    def _ended(self, answering: "asyncio.Task[None]") -> None:
        self._left.discard(answering)
        if not answering.cancelled() and (error := answering.exception()) is not None:
            _log.warning("a request whose client had left ended with %r", error)

    def _scope(self, asked: Asked, headers: Headers) -> dict[str, Any]:
        path = self._root + asked.path
        length = ((b"content-length", b"%d" % len(asked.body)),) if asked.body else ()
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": None,
            "client": None,
            "scheme": self._scheme,
            "method": asked.method,
            "root_path": "",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": asked.query,
            "headers": [_HOST, *length, *asked.headers, *headers],
        }


async def _called(app: Callable[[Scope, Receive, Send], Awaitable[None]], scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)
