"""Turns of tenants: start-time fair queueing beside the paper's own rule, and the room that tenants share."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from server.fair_queue import FairQueue
from server.shares import Shares

TENANTS, MOST = ("a", "b", "c", "d"), 8

# Each step puts an item of a cost by a tenant, takes one, or lets the item that was put n-th be gone.
PUT = st.tuples(st.sampled_from(TENANTS), st.integers(1, MOST))
STEPS = st.lists(st.one_of(PUT, st.just("take")), max_size=80)


@dataclass(eq=False)
class Item:
    tenant: str
    cost: int
    gone: bool = False
    passed: Counter[str] = field(default_factory=Counter)
    before: int = 0


def new_queue() -> FairQueue[Item]:
    return FairQueue(lambda item: item.gone)


def take(queue: FairQueue[Item]) -> Item | None:
    return queue.pop() if queue.head() else None


@settings(max_examples=300)
@given(steps=st.lists(st.one_of(PUT, PUT, st.just("take"), st.frozensets(st.sampled_from(TENANTS))), min_size=20, max_size=80))
def test_the_least_start_tag_of_the_paper_is_next(steps: list[tuple[str, int] | str | frozenset[str]]) -> None:
    """The oracle tags items as they come (equations 4 and 5 of the paper), and knows no heap and no tenants' queues.

    A set of tenants is a step that takes of them only, before it is their turn.
    """
    queue = new_queue()
    starts: dict[Item, int] = {}
    finish: dict[str, int] = defaultdict(int)
    virtual = 0
    for step in steps:
        if isinstance(step, tuple):
            item = Item(*step)
            starts[item] = max(virtual, finish[item.tenant])
            finish[item.tenant] = starts[item] + item.cost
            queue.put(item.tenant, item, item.cost)
        elif isinstance(step, frozenset):
            theirs = {item: start for item, start in starts.items() if item.tenant in step}
            taken = queue.head_of(step.__contains__)
            assert (taken is None) == (not theirs)
            if taken:
                assert queue.pop_of(taken.tenant) is taken
                assert starts.pop(taken) == min(theirs.values())
        elif (taken := take(queue)) is None:
            assert not starts
        else:
            virtual = starts.pop(taken)
            assert virtual <= min(starts.values(), default=virtual)
    assert queue.cost == sum(item.cost for item in starts)


@given(steps=STEPS)
def test_nobody_is_passed_by_more_than_a_bound_and_nobody_in_the_own_tenant(steps: list[tuple[str, int] | str]) -> None:
    queue = new_queue()
    waiting: list[Item] = []
    for step in [*steps, *["take"] * len(steps)]:
        if isinstance(step, tuple):
            item = Item(*step)
            item.before = sum(other.cost for other in waiting if other.tenant == item.tenant)
            waiting.append(item)
            queue.put(item.tenant, item, item.cost)
            continue
        taken = take(queue)
        if taken is None:
            assert not waiting  # It is never idle while something waits.
            continue
        assert taken is next(item for item in waiting if item.tenant == taken.tenant)
        waiting.remove(taken)
        for other in TENANTS:
            if other != taken.tenant:
                assert taken.passed[other] <= taken.before + 2 * MOST
        for item in waiting:
            item.passed[taken.tenant] += taken.cost
    assert not waiting


@given(costs=st.lists(st.integers(1, MOST), max_size=30))
def test_one_tenant_is_served_in_the_order_of_coming(costs: list[int]) -> None:
    queue = new_queue()
    items = [Item("a", cost) for cost in costs]
    taken: list[Item | None] = []
    for number, item in enumerate(items):
        queue.put("a", item, item.cost)
        if number % 3 == 2:
            taken.append(take(queue))
    while taken.count(None) == 0:
        taken.append(take(queue))
    assert taken == [*items, None]


@given(costs=st.lists(st.tuples(st.integers(1, MOST), st.integers(1, MOST)), min_size=20, max_size=40))
def test_tenants_that_wait_are_served_alike(costs: list[tuple[int, int]]) -> None:
    queue = new_queue()
    for of_a, of_b in costs:
        queue.put("a", Item("a", of_a), of_a)
        queue.put("b", Item("b", of_b), of_b)
    served: Counter[str] = Counter()
    while {"a", "b"} == {*queue.tenants}:
        item = take(queue)
        assert item is not None
        served[item.tenant] += item.cost
        assert abs(served["a"] - served["b"]) <= 2 * MOST


@given(steps=st.lists(st.one_of(PUT, st.just("take"), st.tuples(st.just("gone"), st.integers(0, 40))), max_size=80))
def test_what_is_gone_is_left_out(steps: list[tuple[str, int] | str]) -> None:
    queue = new_queue()
    put: list[Item] = []
    waiting: list[Item] = []
    for step in steps:
        if step == "take":
            taken = take(queue)
            assert (taken is None) == all(item.gone for item in waiting)
            if taken:
                assert not taken.gone
                waiting.remove(taken)
        elif step[0] == "gone":
            if put:
                put[int(step[1]) % len(put)].gone = True
        else:
            put.append(Item(str(step[0]), int(step[1])))
            waiting.append(put[-1])
            queue.put(put[-1].tenant, put[-1], put[-1].cost)
    while take(queue):
        pass
    assert (queue.cost, list(queue.tenants)) == (0, [])


def test_what_is_gone_costs_its_tenant_nothing() -> None:
    queue = new_queue()
    first, second = Item("a", 1), Item("b", 1)
    for item in (first, *(Item("a", 8, gone=True) for _ in range(9)), Item("a", 1), second, Item("b", 1)):
        queue.put(item.tenant, item, item.cost)
    assert [take(queue) for _ in range(2)] == [first, second]
    assert [item.tenant for item in (take(queue), take(queue)) if item] == ["a", "b"]


def test_cost_before_an_item_counts_others_up_to_what_the_tenant_has() -> None:
    queue = new_queue()
    for tenant, cost in (("a", 8), ("a", 8), ("b", 3), ("c", 1)):
        queue.put(tenant, Item(tenant, cost), cost)
    assert [queue.cost_before(tenant, 2) for tenant in ("a", "b", "c", "d")] == [18 + 3 + 1, 5 + 5 + 1, 3 + 3 + 3, 2 + 2 + 2 + 1]


CAPACITY = 30
CHANGES = st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(1, CAPACITY), st.booleans()), max_size=60)


@given(changes=CHANGES)
def test_shares_of_the_room_are_kept(changes: list[tuple[str, int, bool]]) -> None:
    room = Shares(CAPACITY)
    held: dict[str, list[int]] = defaultdict(list)
    for tenant, amount, leaves in changes:
        if leaves and held[tenant]:
            room.give_back(tenant, held[tenant].pop())
        totals = {each: sum(amounts) for each, amounts in held.items() if amounts}
        total, mine = sum(totals.values()), totals.get(tenant, 0)
        share = CAPACITY // len({*totals, tenant})
        fits = amount <= room.room(tenant)
        assert room.total == total <= 2 * CAPACITY
        if total + amount <= CAPACITY:
            assert fits
        elif mine == total or total + amount > 2 * CAPACITY or (mine and mine + amount > share):
            assert not fits
        else:
            assert fits
        if fits:
            room.take(tenant, amount)
            held[tenant].append(amount)
