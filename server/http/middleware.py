"""Around every request, in plain ASGI: an id, limits on the body, one log line, the metrics."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.context import request_id
from server.errors import BodyTimeout, BodyTooLarge, HeadstartError, Overloaded
from server.http.protocol import REFUSED
from server.ids import new_id
from server.metrics import Metrics
from server.settings import Settings

_log = logging.getLogger("server.access")

_BODIES_AT_ONCE = 8  # of the largest size
_SMALL_BODY = 65_536  # bytes that are read however much else is: requests without images have no more
_BRINGS_IMAGES = re.compile(r".*/v1/(tasks(/[^/]+/(examples|predict))?|predict)")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SHOWN = 200  # characters of a path in the log
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Gives each request its id (the caller's `X-Request-ID` where it is sane), and tells what became of it.

    Args:
        unexpected: makes the reply to an exception that nothing else answers.
        root_path: the path that a proxy offers the server under; every `Location` begins with it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, unexpected: Callable[[], ASGIApp], root_path: str) -> None:
        self._app = app
        self._root = root_path
        self._metrics = metrics
        self._unexpected = unexpected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        id_ = given if _SANE_ID.fullmatch(given) else new_id("req")
        request_id.set(id_)
        started, status = time.perf_counter(), 0
        if self._root:
            scope["root_path"] = self._root
            if not scope["path"].startswith(f"{self._root}/"):  # The proxy has removed it, and to Starlette it is a part.
                scope["path"] = self._root + scope["path"]
        # HEAD is routed as GET; of its answer the connection, which has the first scope, sends no body.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", id_.encode())]
                if self._root:
                    message["headers"] = list(map(self._from_root, message["headers"]))
            await send(message)

        try:
            await self._app(inner, receive, send_with_id)
        except Exception:
            _log.exception("unexpected")
            self._metrics.errors.labels("internal_error").inc()
            if status:  # Half a reply has gone out; the server ends the connection so that nobody takes it for a whole one.
                raise
            await self._unexpected()(inner, receive, send_with_id)
        finally:
            self._tell(scope, inner.get("route"), status, time.perf_counter() - started)

    def _from_root(self, header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        name, value = header
        return (name, self._root.encode() + value) if name == b"location" and value.startswith(b"/") else header

    def _tell(self, scope: Scope, found: Any, status: int, seconds: float) -> None:
        # The route's template, not the path: task ids would make a metric of their own each.
        route = getattr(found, "path", "unknown")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.responses.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)
        path = quote(scope["path"][:_SHOWN])
        refused = status == 503 and found is None  # Under overload most are: counted, and not told one by one.
        level = logging.DEBUG if refused or route in {"/healthz", "/readyz", "/metrics"} else logging.INFO
        _log.log(
            level,
            "%s %s %d in %.1f ms",
            scope["method"],
            path,
            status,
            1000 * seconds,
            extra={"method": scope["method"], "path": path, "status": status, "ms": round(1000 * seconds, 1)},
        )


class Gate:
    """Refuses requests before they are routed and their bodies parsed: what is refused must cost next to nothing.

    Args:
        checks: raise what is to be answered instead.
        answer: makes the reply to it.
    """

    def __init__(
        self, app: ASGIApp, checks: Sequence[Callable[[Scope], None]], answer: Callable[[Request, HeadstartError], ASGIApp]
    ) -> None:
        self._app = app
        self._checks = checks
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] == "http":
            try:
                for check in self._checks:
                    check(scope)
            except HeadstartError as error:
                answer = self._answer(Request(scope), error)
        await answer(scope, receive, send)


def check_protocol(scope: Scope) -> None:
    """Raises what the connection refuses."""
    if error := scope.get(REFUSED):
        raise error


def room_for_images(check_room: Callable[[], None]) -> Callable[[Scope], None]:
    """Refuses requests that bring images while there is no room for one, by which an overloaded server lives.

    Args:
        check_room: raises Overloaded when there is none.
    """

    def check(scope: Scope) -> None:
        if scope["method"] == "POST" and _BRINGS_IMAGES.fullmatch(scope["path"]):
            check_room()

    return check


class BodyLimits:
    """Ends the reading of a body that is too large, stops coming or comes too slowly, as an error where it is read."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._limit = settings.max_body_bytes
        self._seconds = settings.body_timeout
        self._least = settings.body_timeout * settings.body_rate
        self._held = 0  # bytes of all bodies under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        received, complete = 0, False
        left, brought = self._seconds, 0  # seconds left for the client to bring as much as it must, and what it brought

        async def piece() -> Message:
            nonlocal left, brought
            while True:
                started = time.monotonic()
                try:
                    async with asyncio.timeout(left):
                        message = await receive()
                except TimeoutError:
                    if brought < self._least:
                        raise BodyTimeout(f"the body brought {brought} bytes in {self._seconds:g} seconds") from None
                    left, brought = self._seconds, 0
                else:
                    left -= time.monotonic() - started
                    brought += len(message.get("body", b""))
                    return message

        async def limited() -> Message:
            nonlocal received, complete
            if complete:  # What follows the body is the client's leaving, which may take its time.
                return await receive()
            if declared.isdigit() and int(declared) > self._limit:
                raise BodyTooLarge(self._limit)
            message = await piece()
            check_protocol(scope)
            size = len(message.get("body", b""))
            received += size
            self._held += size
            complete = not message.get("more_body", False)
            if received > self._limit:
                raise BodyTooLarge(self._limit)
            if received > _SMALL_BODY and self._held > _BODIES_AT_ONCE * self._limit:
                raise Overloaded("the server is reading as many bytes as it takes at once; try again")
            return message

        try:
            await self._app(scope, limited, send)
        finally:
            self._held -= received
