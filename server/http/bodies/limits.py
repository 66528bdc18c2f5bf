"""The limits of a request's body, checked while it is read."""

import asyncio
import time

from starlette.types import Message, Receive, Scope

from server.context import tenant_id
from server.errors import BodyTimeout, BodyTooLarge, Overloaded
from server.http.protocol import check_protocol
from server.settings import Settings
from server.shares import Shares

_BODIES_AT_ONCE = 8  # of the largest size
_SMALL_BODY = 65_536  # bytes that are read however much else is: requests without images have no more


class BodyLimits:
    """The limits that the bodies of all requests under way share.

    Attributes:
        held: bytes of them in memory, which tenants share.
    """

    def __init__(self, settings: Settings) -> None:
        self.most = settings.max_body_bytes
        self.seconds = settings.body_timeout
        self.least = settings.body_timeout * settings.body_rate
        self.held = Shares(_BODIES_AT_ONCE * settings.max_body_bytes)


class LimitedBody:
    """The body of one request. Its reading ends with an error where it is too large, stops coming or comes too slowly.

    Args:
        receive: gives the next message of the request.
    """

    def __init__(self, limits: BodyLimits, scope: Scope, receive: Receive) -> None:
        self._limits = limits
        self._scope = scope
        self._receive = receive
        self._received = 0
        self._complete = False
        self._left = limits.seconds  # for the client to bring as much as it must
        self._brought = 0

    def check_declared(self) -> None:
        """Raises BodyTooLarge if the request declares more bytes than the limit."""
        if _declared(self._scope) > self._limits.most:
            raise BodyTooLarge(self._limits.most)

    async def receive(self) -> Message:
        """Returns the next message.

        Raises:
            BodyTooLarge, BodyTimeout: the body breaks a limit.
            Overloaded: the bodies under way are too large together.
            HeadstartError: what the connection refuses.
        """
        if self._complete:  # The next message is the client's leaving, which may take any time.
            return await self._receive()
        limits = self._limits
        if not self._received:
            self.check_declared()
        message = await self._piece()
        check_protocol(self._scope)
        size, tenant = len(message.get("body", b"")), tenant_id.get()
        self._received += size
        limits.held.take(tenant, size)
        self._complete = not message.get("more_body", False)
        if self._received > limits.most:
            raise BodyTooLarge(limits.most)
        if self._received > _SMALL_BODY and limits.held.room(tenant) < 0:
            raise Overloaded("the server is reading as many bytes as it takes at once; try again")
        return message

    def release(self) -> None:
        """Gives back the room of the body. Call it once the request is answered."""
        self._limits.held.give_back(tenant_id.get(), self._received)

    async def _piece(self) -> Message:
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._left):
                    message = await self._receive()
            except TimeoutError:
                if self._brought < self._limits.least:
                    seconds = self._limits.seconds
                    raise BodyTimeout(f"the body brought {self._brought} bytes in {seconds:g} seconds") from None
                self._left, self._brought = self._limits.seconds, 0
            else:
                self._left -= time.monotonic() - started
                self._brought += len(message.get("body", b""))
                return message


def _declared(scope: Scope) -> int:
    """Returns the bytes that the request declares."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
