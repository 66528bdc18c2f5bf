"""The application of a worker: it answers predictions itself, and passes every other request on to the owner.

A request whose head is enough to refuse it is refused here. What is passed on goes as it came, head and body, piece by piece,
and the owner answers, logs and counts it.
"""

import asyncio
import logging
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server.errors import HeadstartError, StorageFailed
from server.http.at_least import at_least
from server.http.bodies.limits import BodyLimits, LimitedBody
from server.http.front import NOT_PASSED_ON, Front
from server.http.passing import PassedOn
from server.http.protocol import REFUSED
from server.http.routes import tools
from server.service import Service

_log = logging.getLogger(__name__)

_PREDICTS = re.compile(r"/v1/(tasks/[^/]+/(predict|hf)|predict)|/v2/models/[^/]+(/versions/[^/]+)?/infer|/customvision/.*")
# What a tool asks comes here again, and is passed on by itself.
_EVERYWHERE = frozenset({"/healthz", "/v2/health/live", tools.PATH})
_READY = frozenset({"/readyz", "/v2/health/ready"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_READY_SECONDS = 10.0

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
        self._requests = requests

    async def admits(self, scope: Scope) -> bool:
        """Returns whether a request may be answered, as far as its head tells."""
        return await self._front.admits(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or await self._is_ours(scope):
            await self._front(scope, receive, send)
            return
        try:
            await self._pass_on(scope, receive, send)
        except HeadstartError as error:
            scope[NOT_PASSED_ON] = error
            await self._front(scope, receive, send)

    async def _is_ours(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(self._root)
        if REFUSED in scope or path in _EVERYWHERE:
            return True
        if path in _READY:  # A worker says that it stops, or that its own engine fails. Else the owner speaks for the server.
            return self._service.leaving.begun or not await self._is_able()
        if scope["method"] == "OPTIONS" or not await self._front.admits(scope):
            return True
        return scope["method"] == "POST" and _PREDICTS.fullmatch(path) is not None and self._answers(scope)

    async def _is_able(self) -> bool:
        """Returns whether the worker's own engine is well."""
        try:
            await asyncio.wait_for(self._service.backbones.check(), _READY_SECONDS)
        except Exception:
            return False
        return True

    def _answers(self, scope: Scope) -> bool:
        """Returns whether this worker answers a prediction: nothing is to be stored before, and it knows what the client does."""
        wanted = at_least(scope["headers"])
        if wanted is not None and not self._service.has_heard(wanted):
            return False
        return all(name != "remember" for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and its answer back.

        Raises:
            HeadstartError: the body breaks a limit.
            StorageFailed: the owner ended before it answered.
        """
        limited = LimitedBody(self._bodies, scope, receive)
        limited.check_declared()  # Otherwise this worker or the owner refuses it, whichever is quicker.
        readable = scope["method"] in _READS
        try:
            for may_try_again in (readable, False):
                passed = PassedOn(scope)
                try:
                    async with await passed.connect(self._requests):
                        await _exchange(passed, limited.receive, send)
                    return
                except OSError as error:
                    if passed.begun:
                        raise
                    if not may_try_again or passed.has_body:
                        _log.warning("the owner did not answer a request: %r", error)
                        raise StorageFailed(_AWAY if readable else _LOST, retry_after=1) from error
        finally:
            limited.release()


async def _exchange(passed: PassedOn, receive: Receive, send: Send) -> None:
    """Brings the body to the owner while its answer is awaited, which may come first. Ends if the client leaves."""
    bringing = asyncio.ensure_future(passed.bring(receive))
    answering = asyncio.ensure_future(_answer(passed, send))
    try:
        await asyncio.wait({bringing, answering}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done() or (passed.begun and isinstance(bringing.exception(), HeadstartError)):
            await answering
        else:
            with suppress(ClientDisconnect):
                await bringing
    finally:
        bringing.cancel()
        answering.cancel()
        await asyncio.gather(bringing, answering, return_exceptions=True)


async def _answer(passed: PassedOn, send: Send) -> None:
    status, headers = await passed.answer()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    async for piece in passed.pieces():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
