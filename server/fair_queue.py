"""Start-time fair queueing: what waits is taken by tenants in turn."""

from collections import Counter, deque
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class FairQueue(Generic[_Item]):
    """Items in the order of start-time fair queueing, all tenants with equal weight. Not thread-safe.

    The items of a tenant keep their order, so with one tenant this is first come, first served. An item's start tag is the
    virtual time when it came, or the finish tag of the tenant's item before it, whichever is later. Its finish tag is its start
    tag plus its cost. The item with the least start tag is next, and becomes the virtual time.

    Of two tenants that both wait, neither is ever served more than the other by over the cost of one item of each. A tenant that
    did not wait gets no credit for that. What was taken last counts as being served until another item is taken.

    Source: P. Goyal, H. M. Vin and H. Cheng, "Start-time fair queueing", SIGCOMM 1996, section 2.

    Args:
        is_gone: whether nobody waits for an item any more. Such items are left out and cost their tenant nothing.
    """

    def __init__(self, is_gone: Callable[[_Item], bool]) -> None:
        self._is_gone = is_gone
        self._waiting: dict[str, deque[tuple[_Item, int]]] = {}
        self._costs: Counter[str] = Counter()
        # The start tag of each tenant's next item. A tenant without items stays here until its tag is the least.
        self._tags: list[tuple[int, int, str]] = []
        self._turn = count()
        self._time = 0
        self.cost = 0

    @property
    def tenants(self) -> Collection[str]:
        """The tenants that have an item here."""
        return self._costs.keys()

    def put(self, tenant: str, item: _Item, cost: int) -> None:
        """Adds an item of a positive cost."""
        if tenant not in self._waiting:
            self._waiting[tenant] = deque()
            heappush(self._tags, (self._time, next(self._turn), tenant))
        self._waiting[tenant].append((item, cost))
        self._count(tenant, cost)

    def head(self) -> _Item | None:
        """Returns the next item, and leaves it here. None if nothing waits."""
        while self.cost:
            _, _, tenant = self._tags[0]
            if (item := self._first(tenant)) is not None:
                return item
            del self._waiting[tenant]
            heappop(self._tags)
        return None

    def pop(self) -> _Item:
        """Removes the item that `head` returned, and returns it."""
        self._time, _, tenant = heappop(self._tags)
        item, cost = self._waiting[tenant].popleft()
        self._count(tenant, -cost)
        heappush(self._tags, (self._time + cost, next(self._turn), tenant))
        return item

    def head_of(self, wanted: Callable[[str], bool]) -> _Item | None:
        """Returns the next item of some tenants, and leaves it here. None if nothing of theirs waits."""
        tenants = (tenant for _, _, tenant in sorted(self._tags) if tenant in self._costs and wanted(tenant))
        return next((item for tenant in tenants if (item := self._first(tenant)) is not None), None)

    def pop_of(self, tenant: str) -> _Item:
        """Removes a tenant's first item and returns it, whether or not it is next. The virtual time stays as it is."""
        at = next(at for at, (_, _, each) in enumerate(self._tags) if each == tenant)
        item, cost = self._waiting[tenant].popleft()
        self._count(tenant, -cost)
        self._tags[at] = (self._tags[at][0] + cost, next(self._turn), tenant)
        heapify(self._tags)
        return item

    def cost_before(self, tenant: str, cost: int) -> int:
        """Returns the cost of what is taken before a new item of that cost, about, if nothing else comes; its own included."""
        own = self._costs[tenant] + cost
        return own + sum(min(of_other, own) for other, of_other in self._costs.items() if other != tenant)

    def clear(self) -> list[_Item]:
        """Removes all items and returns them, in the order of each tenant."""
        left = [item for waiting in self._waiting.values() for item, _ in waiting]
        self._waiting.clear()
        self._costs.clear()
        self._tags.clear()
        self._time = self.cost = 0
        return left

    def _first(self, tenant: str) -> _Item | None:
        """Returns a tenant's first item, after it has removed those that nobody waits for."""
        waiting = self._waiting[tenant]
        while waiting and self._is_gone(waiting[0][0]):
            self._count(tenant, -waiting.popleft()[1])
        return waiting[0][0] if waiting else None

    def _count(self, tenant: str, cost: int) -> None:
        self.cost += cost
        self._costs[tenant] += cost
        if not self._costs[tenant]:
            del self._costs[tenant]
