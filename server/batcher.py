"""A bounded queue of images, and threads that run what is waiting in batches for everyone.

The unit of work is an image, not a request. A free engine takes what is queued at once; what arrives while it works is the
next batch. Where an engine serves several threads at once they share out what is queued. Images arrive here decoded and
validated, so no request can spoil another's batch.
"""

import asyncio
import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median

import numpy as np

from models.engine import Engine
from models.heads import Float32
from models.preprocess import Pixels
from server.errors import EngineFailed, Overloaded
from server.metrics import Metrics

_log = logging.getLogger(__name__)

_PACES = 15
_NICENESS = 5


@dataclass(slots=True, eq=False)
class _Entry:
    """At most `max_batch` images of one request, uint8 (n, H, W, 3), and who waits for them on the event loop.

    Attributes:
        ahead: images that were to be embedded before it, and its own.
        since: when it was queued, by `time.monotonic`.
    """

    pixels: Pixels
    embeddings: "asyncio.Future[Float32]"
    ahead: int
    since: float


class Batcher:
    """Owns an engine and the threads that use it. Those who wait for it share one event loop.

    Args:
        capacity: images of all requests under way; beyond it, `admit` refuses.
        name: the bundle's id, for the metrics.
        longest_wait: seconds; `admit` refuses too what would wait longer, told by how long images waited lately. A backbone may
            be slow, though: two batches may always be under way.
    """

    def __init__(self, engine: Engine, capacity: int, name: str, metrics: Metrics, longest_wait: float = math.inf) -> None:
        self._engine = engine
        self._capacity = capacity
        self._longest_wait = longest_wait
        # The median of several, since one batch may take seconds when the machine is suspended or a GPU sets itself up.
        self._paces: deque[float] = deque(maxlen=_PACES)
        self._seconds_per_image = 0.0
        self._queue: deque[_Entry] = deque()
        self._queued = 0
        self._running = 0
        self._wake = threading.Condition()
        self._closing = False
        self._admitted = 0
        self._ahead = 0
        self._queue_gauge = metrics.queue_images.labels(name)
        self._admitted_gauge = metrics.admitted_images.labels(name)
        self._batch_sizes = metrics.batch_images.labels(name)
        self._threads = [threading.Thread(target=self._run, name=f"engine {name}", daemon=True) for _ in range(engine.parallel)]
        for thread in self._threads:
            thread.start()

    @property
    def room(self) -> int:
        """How many images would be admitted now."""
        too_long = self._ahead * self._seconds_per_image > self._longest_wait and self._ahead >= 2 * self._engine.max_batch
        return 0 if too_long else self._capacity - self._admitted

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Reserves room for a whole request, from before its images are decoded until they are embedded.

        Call on the event loop only.

        Raises:
            Overloaded: there is no room now.
        """
        if images > self.room:
            raise Overloaded(
                f"the server is working on {self._admitted} images; it takes {self._capacity} at most, and no more than "
                f"{self._longest_wait:g} seconds' work; try again"
            )
        ahead = min(images, self._engine.max_batch)  # A large set is queued a batch at a time, and others get in between.
        self._ahead += ahead
        self._admitted += images
        self._admitted_gauge.set(self._admitted)
        try:
            yield
        finally:
            self._ahead -= ahead
            self._admitted -= images
            self._admitted_gauge.set(self._admitted)

    async def embed(self, pixels: Pixels) -> Float32:
        """uint8 (N, H, W, 3) -> float32 (N, D), in chunks queued one after another so that a large set starves nobody.

        A caller that is cancelled leaves nothing in the queue.

        Raises:
            EngineFailed: the batch failed, or the engine's thread is gone.
        """
        loop = asyncio.get_running_loop()
        size = self._engine.max_batch
        parts = [await self._put(pixels[at : at + size], loop.create_future()) for at in range(0, len(pixels), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Answers what is queued, then ends the threads."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _put(self, pixels: Pixels, embeddings: "asyncio.Future[Float32]") -> "asyncio.Future[Float32]":
        with self._wake:
            if self._closing:
                raise EngineFailed("the engine has stopped; try again")
            self._count(len(pixels))
            self._queue.append(_Entry(pixels, embeddings, self._queued + self._running, time.monotonic()))
            self._wake.notify()
        return embeddings

    def _count(self, images: int) -> None:
        self._queued += images
        self._queue_gauge.set(self._queued)

    def _run(self) -> None:
        if sys.platform == "linux" and not self._engine.kind.endswith("-cuda"):
            # Where threads have priorities of their own, and one such as this could have every core, the event loop comes first:
            # it needs little, and would else answer and refuse late.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            while batch := self._take():
                self._embed(batch)
        finally:
            # Whatever ended this thread, nobody is left waiting for it, and no other goes on as if nothing had happened.
            with self._wake:
                self._closing = True
                left, self._queue = self._queue, deque()
                self._count(-self._queued)
                self._wake.notify_all()
            _tell(left, None)

    def _take(self) -> list[_Entry]:
        """Waits for work and takes this thread's share of it, at most a batch, without the entries whose caller has gone."""
        with self._wake:
            while True:
                batch: list[_Entry] = []
                room = min(self._engine.max_batch, -(-self._queued // len(self._threads)))
                while self._queue and (not batch or len(self._queue[0].pixels) <= room):
                    entry = self._queue.popleft()
                    self._count(-len(entry.pixels))
                    if not entry.embeddings.cancelled():
                        batch.append(entry)
                        room -= len(entry.pixels)
                self._running += _images(batch)
                if batch or self._closing:
                    return batch
                self._wake.wait()

    def _finish(self, batch: list[_Entry]) -> None:
        """Learns from a batch how long images wait."""
        last = batch[-1]
        pace = (time.monotonic() - last.since) / last.ahead
        with self._wake:
            self._running -= _images(batch)
            # How long a lone image takes says little about a full queue.
            if last.ahead >= self._engine.max_batch or not self._paces:
                self._paces.append(pace)
                self._seconds_per_image = median(self._paces)

    def _embed(self, batch: list[_Entry]) -> None:
        embeddings = None
        try:
            pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([entry.pixels for entry in batch])
            self._batch_sizes.observe(len(pixels))
            embeddings = self._engine.embed(pixels)
        except BaseException as error:  # Whatever was raised, every waiter gets an answer, and the next batch its chance.
            _log.exception("a batch of %d requests' images failed", len(batch))
            if not isinstance(error, Exception):
                raise
        finally:
            self._finish(batch)
            _tell(batch, embeddings)


def _images(entries: Iterable[_Entry]) -> int:
    return sum(len(entry.pixels) for entry in entries)


def _tell(entries: Collection[_Entry], embeddings: Float32 | None) -> None:
    """Gives each entry its part of a batch's embeddings, or EngineFailed; wakes the event loop once for all of them."""
    if entries:
        loop = next(iter(entries)).embeddings.get_loop()
        with suppress(RuntimeError):  # of a loop that was closed: nobody waits any more
            loop.call_soon_threadsafe(_answer, entries, embeddings)


def _answer(entries: Collection[_Entry], embeddings: Float32 | None) -> None:
    start = 0
    for entry in entries:
        end = start + len(entry.pixels)
        if not entry.embeddings.done():  # its caller may have gone meanwhile
            if embeddings is None:
                entry.embeddings.set_exception(EngineFailed("the engine failed on this batch; try again"))
            else:
                entry.embeddings.set_result(embeddings[start:end])
        start = end
