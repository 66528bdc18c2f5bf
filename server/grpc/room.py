"""The room in memory that the messages of a process share. How much a message needs is known once it has been read."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from server.context import tenant_id
from server.errors import Overloaded
from server.settings import Settings
from server.shares import Shares

_AT_ONCE = 8  # messages of the largest size
_SECONDS_WHILE_OTHERS_WAIT = 2.0


class Place:
    """The room of one message: that of the largest, until it has been read."""

    def __init__(self, tenant: str, size: int) -> None:
        self.tenant = tenant
        self.size = size


class MessageRoom:
    """Room for messages, which tenants share (`server.shares`). Use it on the event loop.

    While a tenant has no more room, its calls wait unread, in the order in which they came. Those of its messages that come
    slowly are then refused, so that a few slow clients do not keep out the others.
    """

    def __init__(self, settings: Settings) -> None:
        self._largest = settings.max_body_bytes
        self._seconds = settings.body_timeout
        self._patience = settings.queue_seconds
        self._held = Shares(_AT_ONCE * settings.max_body_bytes)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._reading: dict[asyncio.Timeout, tuple[str, float]] = {}

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Waits for the room of a message, which has it for the length of the block.

        Raises:
            Overloaded: there was none in time.
        """
        place = Place(tenant_id.get(), self._largest)
        await self._enter(place.tenant)
        try:
            yield place
        finally:
            self._give_back(place.tenant, place.size)

    async def read(self, place: Place, read: Callable[[], Awaitable[Any]]) -> Any:
        """Returns what `read` brings. Of the message's room it keeps as much as that has bytes, and none if it is no message.

        Raises:
            TimeoutError: it did not come in time.
            Overloaded: it came slowly, and others waited.
        """
        now = asyncio.get_running_loop().time()
        due = now + self._seconds
        try:
            async with asyncio.timeout_at(due) as left:
                self._reading[left] = place.tenant, now + _SECONDS_WHILE_OTHERS_WAIT
                try:
                    if place.tenant in self._waiting:
                        self._hurry(place.tenant)
                    data = await read()
                finally:
                    del self._reading[left]
        except TimeoutError:
            if left.when() == due:
                raise
            raise Overloaded("the message came slowly while others waited; try again") from None
        size = len(data) if isinstance(data, bytes) else 0
        self._give_back(place.tenant, place.size - size)
        place.size = size
        return data

    async def _enter(self, tenant: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._let_in()
        if turn.done():
            return
        self._hurry(tenant)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if not turn.cancelled():  # Its turn came meanwhile.
                self._give_back(tenant, self._largest)
            if isinstance(error, TimeoutError):
                raise Overloaded("the server is reading as many bytes as it takes at once; try again") from None
            raise

    def _hurry(self, tenant: str) -> None:
        """Leaves the messages of a tenant that are being read the time that they have while others wait."""
        for left, (reader, slow) in self._reading.items():
            when = left.when()
            if reader == tenant and when is not None and when > slow and not left.expired():
                left.reschedule(slow)

    def _give_back(self, tenant: str, size: int) -> None:
        self._held.give_back(tenant, size)
        self._let_in()

    def _let_in(self) -> None:
        for tenant in list(self._waiting):
            waiting = self._waiting[tenant]
            while waiting and (waiting[0].done() or self._held.room(tenant) >= self._largest):
                turn = waiting.popleft()
                if not turn.done():  # Else nobody waits for it any more.
                    self._held.take(tenant, self._largest)
                    turn.set_result(None)
            if not waiting:
                del self._waiting[tenant]
