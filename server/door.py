"""The door at which requests with images wait, unread, until there is room inside."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from server.context import tenant_id
from server.errors import Overloaded
from server.shares import Shares

_LARGEST = 8  # The largest request counts for this fraction of the room, so that so many are inside.
_SECONDS_TO_EMBEDDING = 0.25
_LOOK_SECONDS = 0.02


class _Visit:
    """A request that waits at the door or is inside."""

    def __init__(self, weight: int) -> None:
        self.tenant = tenant_id.get()
        self.weight = weight
        self.inside = False
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None


_visit: ContextVar[_Visit | None] = ContextVar("visit", default=None)


class Door:
    """Lets requests in as there is room; of the tenants that wait, the one that has least inside. Use it on the event loop.

    A tenant may have all room while it is alone. In any case it may have its share and one request: one within its share comes
    in at once. What waits is unread. It costs the event loop next to nothing, where a refusal would soon be followed by the next
    attempt.

    A request is inside until its images are embedded. One that does not come so far in a quarter of a second leaves: its client
    sends slowly, or its bundle is being opened. It waits again before its images are decoded.

    Args:
        room: inside, in images.
        places: the most requests that wait. Tenants share them (`server.shares`).
        patience: the seconds for which one waits.
        has_room: whether the server has room for another image of a tenant. It may gain some whenever a request leaves, and at
            any time if other processes share it.
    """

    def __init__(self, room: int, places: int, patience: float, has_room: Callable[[str], bool]) -> None:
        self._room = room
        self._most = max(1, room // _LARGEST)
        self._inside: Counter[str] = Counter()
        self._places = Shares(places)
        self._patience = patience
        self._has_room = has_room
        self._waiting: dict[str, deque[_Visit]] = {}
        self._look: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def passed(self, weight: int) -> AsyncIterator[None]:
        """Waits for the turn of this request, and lets it be inside for at most the length of the block.

        Args:
            weight: the number of images that it brings, as far as that is known.

        Raises:
            Overloaded: too many requests wait, or the turn did not come in time.
        """
        visit = _Visit(min(weight, self._most))
        await self._enter(visit)
        visit.timer = asyncio.get_running_loop().call_later(_SECONDS_TO_EMBEDDING, self._leave, visit)
        before = _visit.set(visit)
        try:
            yield
        finally:
            _visit.reset(before)
            visit.timer.cancel()
            self._leave(visit)

    @asynccontextmanager
    async def embedding(self, images: int) -> AsyncIterator[None]:
        """Keeps a request that passed the door inside for the length of the block, and lets it leave. Does nothing for others.

        Raises:
            Overloaded: it had left, and could not come back.
        """
        visit = _visit.get()
        if visit is None:
            yield
            return
        assert visit.timer is not None
        visit.timer.cancel()
        if visit.inside:
            self._inside[visit.tenant] += images - visit.weight  # Now it is known.
            visit.weight = images
            self._let_in()
        else:
            visit.weight = images
            await self._enter(visit, returns=True)
        try:
            yield
        finally:
            self._leave(visit)

    async def _enter(self, visit: _Visit, *, returns: bool = False) -> None:
        """Waits until a request is inside. One that returns has had its turn: it is its tenant's next, and needs no place."""
        if not returns and self._places.room(visit.tenant) < 1:
            raise Overloaded(f"{self._places.total} requests with images wait for their turn; try again")
        visit.turn = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(visit.tenant, deque())
        if returns:
            waiting.appendleft(visit)
        else:
            waiting.append(visit)
        self._let_in()
        if visit.inside:
            return
        places = 0 if returns else 1
        self._places.take(visit.tenant, places)
        try:
            async with asyncio.timeout(self._patience):
                await visit.turn
        except BaseException as error:
            self._leave(visit)  # Its turn may have come meanwhile.
            if isinstance(error, TimeoutError):
                raise Overloaded(f"its turn did not come within {self._patience:g} seconds; try again") from None
            raise
        finally:
            self._places.give_back(visit.tenant, places)

    def _leave(self, visit: _Visit) -> None:
        if visit.inside:
            visit.inside = False
            self._inside[visit.tenant] -= visit.weight
            if not self._inside[visit.tenant]:
                del self._inside[visit.tenant]
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            by_turn = sorted(self._waiting, key=self._inside.__getitem__)
            tenant = next((each for each in by_turn if self._has_room(each)), None)
            if tenant is None:
                self._look_again()
                return
            waiting = self._waiting.pop(tenant)
            while waiting and waiting[0].turn.done():  # Nobody waits for it any more.
                waiting.popleft()
            if not waiting:
                continue
            if fits := self._fits(tenant, min(waiting[0].weight, self._most)):
                self._admit(waiting.popleft())
            if waiting:  # Behind the others, of which one may have as little inside.
                self._waiting[tenant] = waiting
            if not fits:
                return

    def _fits(self, tenant: str, weight: int) -> bool:
        if not self._inside:
            return True
        mine, share = self._inside[tenant], self._room // len({*self._inside, tenant})
        return not mine or mine + weight <= share or self._inside.total() + weight <= self._room

    def _look_again(self) -> None:
        """Looks soon whether there is room. Other processes may have taken it, and nobody tells when they give it back."""
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._looked)

    def _looked(self) -> None:
        self._look = None
        self._let_in()

    def _admit(self, visit: _Visit) -> None:
        visit.inside = True
        self._inside[visit.tenant] += visit.weight
        visit.turn.set_result(None)
