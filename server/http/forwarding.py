"""The application of a worker: it answers predictions itself, and passes every other request on to the owner.

A request whose head is enough to refuse it is refused here. What is passed on goes as it came, head and body, piece by piece,
and the owner answers, logs and counts it. Its answer can come only after the body.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from server.errors import HeadstartError, StorageFailed
from server.http.bodies.limits import BodyLimits, LimitedBody
from server.http.front import Front
from server.http.protocol import REFUSED
from server.service import Service

_log = logging.getLogger(__name__)

_PREDICTS = re.compile(r"/v1/(tasks/[^/]+/predict|predict)")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_READY_SECONDS = 10.0
# Fields of one connection (RFC 9110, 7.6.1), and those that the worker's own connection writes.
_OF_CONNECTION = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"expect"})
_OF_ANSWER = _OF_CONNECTION | {b"date"}

_LOST = (
    "the process that stores was replaced while it worked on this request: the change may have been stored: retry with the same "
    "Idempotency-Key"
)
_AWAY = "the process that stores is being replaced; try again"


class Forwarding:
    """An ASGI application.

    Args:
        front: answers what this worker answers itself.
        requests: the owner's socket. Requests wait there while the owner is being replaced.
    """

    def __init__(self, front: Front, service: Service, requests: Path) -> None:
        self._front = front
        self._bodies = BodyLimits(service.settings)
        self._service = service
        self._root = service.settings.root
        # A connection for each request: one that is kept may be closed by an owner that is being replaced at the moment when it
        # is used, and nobody could tell whether the request was begun.
        self._transport = httpx.AsyncHTTPTransport(
            uds=str(requests), limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or await self._is_ours(scope):
            await self._front(scope, receive, send)
            return
        try:
            await self._pass_on(scope, receive, send)
        except HeadstartError as error:
            scope[REFUSED] = error
            await self._front(scope, receive, send)

    async def _is_ours(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(self._root)
        if REFUSED in scope or path == "/healthz":
            return True
        if path == "/readyz":  # It says so if its own engine fails. Else the owner speaks for the server.
            try:
                await asyncio.wait_for(self._service.backbones.check(), _READY_SECONDS)
            except Exception:
                return True
            return False
        if scope["method"] == "OPTIONS" or not await self._front.admits(scope):
            return True
        if scope["method"] != "POST" or not _PREDICTS.fullmatch(path):
            return False
        return all(name != "remember" for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and its answer back.

        Raises:
            StorageFailed: the owner ended before it answered.
        """
        limited = LimitedBody(self._bodies, scope, receive)
        body = _Body(limited.receive)
        passing = asyncio.ensure_future(self._exchange(scope, body, send))
        leaving = asyncio.ensure_future(body.left())
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            limited.release()
            for task in (passing, leaving):
                if not task.done():
                    task.cancel()
        with suppress(asyncio.CancelledError, ClientDisconnect):  # The client has left, and the owner has been told.
            await passing

    async def _exchange(self, scope: Scope, body: "_Body", send: Send) -> None:
        response = await self._answer(scope, body)
        try:
            headers = [(name.lower(), value) for name, value in response.headers.raw if name.lower() not in _OF_ANSWER]
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for piece in response.stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await response.aclose()

    async def _answer(self, scope: Scope, body: "_Body") -> httpx.Response:
        request = httpx.Request(
            scope["method"],
            "http://owner",
            headers=[(name, value) for name, value in scope["headers"] if name not in _OF_CONNECTION],
            content=body.pieces() if body.is_declared(scope) else None,
            extensions={"target": scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")},
        )
        readable = scope["method"] in _READS
        for may_try_again in (readable, False):
            try:
                return await self._transport.handle_async_request(request)
            except httpx.TransportError as error:
                if not may_try_again:
                    _log.warning("the owner did not answer a request: %r", error)
                    raise StorageFailed(_AWAY if readable else _LOST, retry_after=1) from error
        raise AssertionError


class _Body:
    """The body of a request on its way."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = asyncio.Event()

    def is_declared(self, scope: Scope) -> bool:
        """Returns whether the request has a body. If not, there is nothing to wait for."""
        for name, value in scope["headers"]:
            if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
                return True
        self._complete.set()
        return False

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields the body. Raises ClientDisconnect if the client leaves before its end."""
        while not self._complete.is_set():
            message: Message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            if not message.get("more_body"):
                self._complete.set()
            yield message.get("body", b"")

    async def left(self) -> None:
        """Waits until the client has left, or has been answered."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
