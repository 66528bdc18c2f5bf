"""Tables of things on a device: whatever is looked up, in whatever order, its rows are in the slot that was told."""

import gc
import weakref

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.answers.tables import Rows, Tables

WIDTH = 4


class Thing:
    def __init__(self, number: int, rows: int) -> None:
        self.number = number
        self.rows = rows


def rows_of(thing: Thing) -> Rows:
    return {"values": np.full((thing.rows, WIDTH), thing.number, np.float32), "number": np.array(thing.number)}


def assert_found(tables: Tables[Thing], things: list[Thing]) -> None:
    seen = []
    for members, tensors, slots in tables.look_up(things):
        for position, slot in zip(members, slots, strict=True):
            thing = things[position]
            assert tensors["values"][slot].shape == (thing.rows, WIDTH)
            assert bool((tensors["values"][slot] == thing.number).all())
            assert int(tensors["number"][slot]) == thing.number
        seen += members
    assert sorted(seen) == list(range(len(things)))


# Each step looks up some of the living things together, or lets one go for a new one.
STEPS = st.lists(st.one_of(st.lists(st.integers(0, 11), min_size=1, max_size=6), st.integers(0, 11)), max_size=30)


@settings(deadline=None)
@given(steps=STEPS, room=st.integers(0, 12))
def test_every_thing_is_found_in_its_slot(steps: list[list[int] | int], room: int) -> None:
    numbers = iter(range(10_000))
    things = [Thing(next(numbers), 1 + position % 3) for position in range(12)]
    tables = Tables[Thing](torch.device("cpu"), room * 3 * WIDTH * 4, rows_of)
    for step in steps:
        if isinstance(step, int):
            things[step] = Thing(next(numbers), 1 + step % 3)
        else:
            assert_found(tables, [things[position] for position in step])


def test_memory_is_bounded_and_the_least_recently_used_goes() -> None:
    tables = Tables[Thing](torch.device("cpu"), 8 * (WIDTH * 4 + 8), rows_of)
    things = [Thing(number, 1) for number in range(20)]
    for thing in things:
        assert_found(tables, [things[0], thing])
    assert tables.nbytes == 8 * (WIDTH * 4 + 8)
    assert len(tables) == 8
    before = tables.nbytes
    assert_found(tables, things)  # What is asked for together has room in any case.
    assert tables.nbytes > before


def test_a_thing_that_is_gone_leaves_its_slot_to_others() -> None:
    tables = Tables[Thing](torch.device("cpu"), 2**20, rows_of)
    things = [Thing(number, 1) for number in range(4)]
    assert_found(tables, things)
    size = tables.nbytes
    things.clear()
    gc.collect()
    assert len(tables) == 0
    assert_found(tables, [Thing(number, 1) for number in range(4)])
    assert tables.nbytes == size


def test_what_is_gone_is_overwritten() -> None:
    tables = Tables[Thing](torch.device("cpu"), 2**20, rows_of)
    assert_found(tables, [Thing(7, 1)])
    gc.collect()
    tables.forget()
    assert [bool(tensor.any()) for table in tables._tables.values() for tensor in table.tensors.values()] == [False, False]


def test_tables_that_nobody_asks_any_more_make_room_for_others() -> None:
    tables = Tables[Thing](torch.device("cpu"), 8 * (WIDTH * 4 + 8), rows_of)
    small, large = [Thing(number, 1) for number in range(8)], [Thing(number, 3) for number in range(8, 10)]
    for thing in (*small, *large, *large):
        assert_found(tables, [thing])
    assert len(tables) == 2
    assert tables.nbytes == 2 * (3 * WIDTH * 4 + 8)


def test_a_thing_is_watched_once() -> None:
    before = len(weakref.finalize._registry)  # type: ignore[attr-defined]
    tables = Tables[Thing](torch.device("cpu"), 0, rows_of)
    things = [Thing(number, 1) for number in range(2)]
    for thing in things * 20:
        assert_found(tables, [thing])
    assert len(weakref.finalize._registry) - before == 1  # type: ignore[attr-defined]
