import re
import threading
import time
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidRequest
from server.ids import cursor_after, id_of_uuid, new_id, read_cursor, uuid_of


def number(identifier: str) -> int:
    value = 0
    for character in identifier.rpartition("_")[2]:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    return value


def test_an_id_is_its_prefix_and_26_characters_that_need_no_escaping() -> None:
    assert re.fullmatch(r"task_[0-9a-hjkmnp-tv-z]{26}", new_id("task"))


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    ids = [new_id("task") for _ in range(5_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_begin_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    # Ids made many to the millisecond may run a little ahead of the clock.
    assert 0 <= (number(new_id("task")) >> 80) - before < 1_000


def test_ids_keep_their_order_and_are_not_counted_up_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = number(new_id("task"))
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    numbers = [first, *(number(new_id("task")) for _ in range(100))]
    steps = [after - before for before, after in pairwise(numbers)]
    assert min(steps) > 2**32
    assert len(set(steps)) == len(steps)


def test_threads_get_different_ids() -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend([new_id("x") for _ in range(2_000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8_000


@given(st.uuids() | st.builds(UUID, int=st.integers(0, 2**128 - 1)))
def test_an_id_and_a_uuid_are_the_same_bits(uuid: UUID) -> None:
    identifier = id_of_uuid("task", uuid)
    assert uuid_of(identifier) == uuid
    assert number(identifier) == uuid.int
    assert re.fullmatch(r"task_[0-9a-hjkmnp-tv-z]{26}", identifier)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_cursor_brings_its_id_back(identifier: str) -> None:
    cursor = cursor_after(identifier)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    assert read_cursor(cursor) == identifier


@given(st.text())
def test_any_other_cursor_is_refused(text: str) -> None:
    try:
        identifier = read_cursor(text)
    except InvalidRequest:
        return
    assert cursor_after(identifier) == text


@pytest.mark.parametrize("cursor", ["", "!", "a", "dGVzdA==", "dGVzd", "gA", "dGVz dA", "é", "\ud800"])
def test_a_broken_cursor_is_an_invalid_request(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        read_cursor(cursor)
