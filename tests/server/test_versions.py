"""Values by task version in memory: never more bytes than the bound, and the least recently used leave first."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from server.cache.versions import VersionCache
from server.store.records import TaskKey

BOUND = 100
_places = st.integers(0, 5)


@given(st.lists(st.tuples(st.sampled_from(["keep", "get", "drop"]), _places, st.integers(1, 130))))
def test_it_is_the_values_used_last_that_fit(steps: list[tuple[str, int, int]]) -> None:
    counts: list[int] = []
    cache = VersionCache[int](BOUND, lambda value: value, counts.append)
    wanted: OrderedDict[int, int] = OrderedDict()
    gone: set[int] = set()  # A version that was removed never comes back.
    for action, place, size in steps:
        key = TaskKey("default", str(place))
        if action == "keep":
            cache.keep(key, 1, size)
            if size <= BOUND and place not in gone:  # A larger one is not kept, and one of that version that is there stays.
                wanted[place] = size
                wanted.move_to_end(place)
            while sum(wanted.values()) > BOUND:
                wanted.popitem(last=False)
        elif action == "drop":
            cache.drop(key, [1])
            wanted.pop(place, None)
            gone.add(place)
        else:
            assert cache.get(key, 1) == wanted.get(place)
            if place in wanted:
                wanted.move_to_end(place)
        assert len(cache) == len(wanted)
        assert not counts or counts[-1] == len(wanted)
    found = {place: cache.get(TaskKey("default", str(place)), 1) for place in range(6)}
    assert {place: value for place, value in found.items() if value is not None} == dict(wanted)
