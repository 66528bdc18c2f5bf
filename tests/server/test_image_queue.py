"""The order in which images leave the queue, whatever came in and whoever has gone."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.queue import Entry, ImageQueue, count_images

SHARERS, MAX_BATCH = 2, 8

# Each step puts so many images in, awaited or not; or cancels the entry that was put n-th; or takes a batch.
PUT = st.tuples(st.integers(1, MAX_BATCH), st.booleans())
STEPS = st.lists(st.one_of(PUT, st.tuples(st.just("cancel"), st.integers(0, 30)), st.just("take")), max_size=60)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def entry(loop: asyncio.AbstractEventLoop, images: int, background: bool = False, age: float = 0.0) -> Entry:
    pixels = np.zeros((images, 1, 1, 3), np.uint8)
    return Entry(pixels, None, loop.create_future(), images, background, time.monotonic() - age)


@settings(deadline=None)
@given(steps=STEPS)
def test_everyone_who_stays_is_taken_once_in_order_and_the_background_last(
    loop: asyncio.AbstractEventLoop, steps: list[tuple[int, bool] | tuple[str, int] | str]
) -> None:
    queue = ImageQueue(SHARERS, MAX_BATCH, MAX_BATCH)
    put: list[Entry] = []
    waiting: list[Entry] = []

    def take() -> list[Entry]:
        batch = queue.take()
        here = [each for each in waiting if not each.result.cancelled()]
        awaited = [each for each in here if not each.background]
        if awaited:
            assert batch == awaited[: len(batch)]
            assert batch
            assert len(batch) == 1 or count_images(batch) <= MAX_BATCH
        else:
            assert batch == here[:1]
        for each in batch:
            waiting.remove(each)
        return batch

    for step in steps:
        if step == "take":
            take()
        elif step[0] == "cancel":
            if put:
                put[int(step[1]) % len(put)].result.cancel()
        else:
            put.append(entry(loop, int(step[0]), bool(step[1])))
            waiting.append(put[-1])
            queue.put(put[-1])
    while take():
        pass
    assert all(each.result.cancelled() for each in waiting)
    assert queue.images == 0


def test_threads_share_what_is_awaited(loop: asyncio.AbstractEventLoop) -> None:
    queue = ImageQueue(SHARERS, MAX_BATCH, MAX_BATCH)
    for _ in range(6):
        queue.put(entry(loop, 1))
    assert [count_images(queue.take()) for _ in range(4)] == [3, 2, 1, 0]


def test_background_work_that_waited_long_goes_first_once(loop: asyncio.AbstractEventLoop) -> None:
    queue = ImageQueue(SHARERS, MAX_BATCH, MAX_BATCH)
    old, young, awaited = entry(loop, 1, background=True, age=1e6), entry(loop, 1, background=True), entry(loop, 1)
    for each in (old, young, awaited):
        queue.put(each)
    assert [queue.take() for _ in range(4)] == [[old], [awaited], [young], []]
    gone = entry(loop, 1, background=True, age=1e6)
    gone.result.cancel()
    queue.put(gone)
    queue.put(awaited)
    assert queue.take() == [awaited]


def test_clearing_gives_back_all_that_is_left(loop: asyncio.AbstractEventLoop) -> None:
    queue = ImageQueue(SHARERS, MAX_BATCH, MAX_BATCH)
    entries = [entry(loop, 2), entry(loop, 1, background=True)]
    for each in entries:
        queue.put(each)
    assert queue.clear() == entries
    assert (queue.images, queue.take()) == (0, [])
