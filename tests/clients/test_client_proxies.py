"""The Python SDK behind proxies and gateways: what it sends for them, and what it makes of their answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headstart import Client, ProxyError, ServerUnreachable, UnexpectedReply
from headstart.__main__ import main

_NGINX = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n"
    "<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>\r\n"
)


@contextmanager
def proxy(status: int, reason: str, **headers: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Answers every request so, as nginx does, and keeps the headers of each."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "nginx/1.24.0", ""

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            seen.append({name.lower(): value for name, value in self.headers.items()})
            page = _NGINX.format(status=status, reason=reason).encode()
            self.send_response(status, reason)
            for name, value in {"Content-Type": "text/html", "Content-Length": str(len(page)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (401, "Unauthorized", "give a token"),
        (403, "Forbidden", "does not let this request through"),
        (413, "Request Entity Too Large", r"client_max_body_size.*\(0\.5 MB were sent\)"),
        (502, "Bad Gateway", "no usable answer from the server behind it"),
        (503, "Service Unavailable", "is not available"),
        (504, "Gateway Time-out", "did not answer in time"),
        (522, "Connection timed out", "no usable answer"),
    ],
)
def test_a_proxy_is_told_with_its_reason(status: int, reason: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.http.exchange.FIRST_PAUSE", 0.001)
    with proxy(status, reason) as (url, _), Client(url) as client, pytest.raises(ProxyError, match=told) as raised:
        client.create_task("n", [("a", bytes(250_000)), ("b", bytes(250_000))], shrink=False)
    assert raised.value.status == status
    for part in (f"POST {url}/v1/tasks was answered with {status} ", f"nginx/1.24.0, “{status} {reason}”"):
        assert part in str(raised.value)
    assert "not this API" not in str(raised.value)


def test_the_command_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    with proxy(502, "Bad Gateway", Via="1.1 gateway.example") as (url, _):
        assert main(["list", "--url", url]) == 3
    told = capsys.readouterr().err
    assert "is that a Headstart server" not in told
    assert "502 Bad Gateway by something in front of the Headstart server (nginx/1.24.0, 1.1 gateway.example" in told


def test_a_redirection_is_told_with_where_it_leads() -> None:
    told = r"302 and sent on to https://login\.example/"
    with (
        proxy(302, "Found", Location="https://login.example/?next=1") as (url, _),
        Client(url) as client,
        pytest.raises(UnexpectedReply, match=told) as raised,
    ):
        next(client.tasks())
    assert not isinstance(raised.value, ProxyError)


@pytest.mark.parametrize("answers", [True, False])
def test_a_body_that_is_refused_while_it_is_sent(answers: bool) -> None:
    """nginx answers once it has read the headers; others just close. Either way the cause is named."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    if answers:
                        connection.sendall(b"HTTP/1.1 413 Request Entity Too Large\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n")
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):  # as nginx's lingering_close
                            pass

        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            expected = ProxyError if answers else ServerUnreachable
            with pytest.raises(expected, match=r"413|had 40\.0 MB: does a proxy on the way") as raised:
                client.create_task("n", [("a", bytes(20_000_000)), ("b", bytes(20_000_000))], shrink=False)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert str(raised.value)


class TestHeaders:
    def sent(self, **given: object) -> dict[str, str]:
        with proxy(404, "Not Found") as (url, seen), Client(url, **given) as client, pytest.raises(UnexpectedReply):  # type: ignore[arg-type]
            client.task("task_1")
        return seen[0]

    def test_every_request_carries_them(self) -> None:
        sent = self.sent(token="s3cret", headers={"X-Api-Key": "key", "User-Agent": "mine"})
        assert (sent["authorization"], sent["x-api-key"], sent["user-agent"]) == ("Bearer s3cret", "key", "mine")

    def test_the_environment_has_a_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADSTART_TOKEN", " from-a-file\n")
        assert self.sent()["authorization"] == "Bearer from-a-file"
        assert self.sent(token="given")["authorization"] == "Bearer given"
        assert self.sent(headers={"authorization": "Basic abc"})["authorization"] == "Basic abc"
        monkeypatch.setenv("HEADSTART_TOKEN", "")
        assert "authorization" not in self.sent()
        monkeypatch.delenv("HEADSTART_TOKEN")
        assert "authorization" not in self.sent()

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"token": "hunter2\nX-Other: 1"}, ValueError),
            ({"token": ""}, ValueError),
            ({"token": "hunter2 ü"}, ValueError),
            ({"token": b"hunter2"}, TypeError),
            ({"headers": {"X": "hunter2\r\nY: 1"}}, ValueError),
            ({"headers": {"X Y": "hunter2"}}, ValueError),
            ({"headers": {"X": 5}}, TypeError),
            ({"token": "hunter2", "headers": {"AUTHORIZATION": "hunter2"}}, ValueError),
            ({"url": "http://user:hunter2@127.0.0.1:9", "token": "x"}, ValueError),
        ],
    )
    def test_what_cannot_be_sent_is_refused_at_once_and_not_repeated(
        self, given: dict[str, object], error: type[Exception]
    ) -> None:
        with pytest.raises(error) as raised:
            Client(**{"url": "http://127.0.0.1:9", **given})  # type: ignore[arg-type]
        assert "hunter2" not in str(raised.value)
