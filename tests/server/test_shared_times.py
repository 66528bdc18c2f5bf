"""Times that processes share: each name has its own, and no two processes are inside at once."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.shared_times import SharedTimes

TURNS = 2000


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 1e9)), max_size=60))
def test_a_name_has_the_time_that_it_was_last_given(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, float]]
) -> None:
    folder = tmp_path_factory.mktemp("times")
    one, other = SharedTimes(folder / "times"), SharedTimes(folder / "times")
    known: dict[str, float] = {}
    with one:
        for name, time in written:
            one.update({name: time})
            known[name] = time
    with other:
        assert {name: other.get(name, -1.0) for name in known} == known
        assert other.get("a name that nobody wrote", -1.0) == -1.0


def test_the_earliest_time_gives_way_where_a_bucket_is_full(tmp_path: Path) -> None:
    times = SharedTimes(tmp_path / "times")
    names = [f"tenant {number}" for number in range(200_000)]  # three times as many as there are places
    with times:
        times.update({name: float(number + 1) for number, name in enumerate(names)})
        assert all(times.get(name, 0.0) == number + 1 for number, name in enumerate(names) if number > 190_000)


def _count(path: Path) -> None:
    times = SharedTimes(path)
    for _ in range(TURNS):
        with times:
            times.update({"count": times.get("count", 0.0) + 1.0})


def test_no_two_processes_are_inside_at_once(tmp_path: Path) -> None:
    path = tmp_path / "times"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    times = SharedTimes(path)
    with times:
        assert times.get("count", 0.0) == TURNS * len(processes)
