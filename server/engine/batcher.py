"""A bounded queue of images, and threads that run what is waiting in batches for everyone.

The unit of work is an image, not a request. A free engine takes what is queued at once; what arrives while it works is the
next batch. Where an engine serves several threads at once they share out what is queued (`server.engine.queue`). Images arrive
here decoded and validated, so no request can spoil another's batch.
"""

import asyncio
import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from statistics import median

import numpy as np

from models.engine import Engine
from models.heads.head import Float32
from models.images.preprocess import Pixels
from server.context import on_behalf_of
from server.engine.queue import Entry, ImageQueue, count_images
from server.errors import EngineFailed, Overloaded
from server.metrics import Metrics

_log = logging.getLogger(__name__)

_PACES = 15
_NICENESS = 5
_BACKGROUND_SHARE = 16  # of the largest batch, so that who comes while background work is embedded waits a short while


class Batcher:
    """Owns an engine and the threads that use it. Those who wait for it share one event loop.

    Args:
        capacity: images of all requests under way; beyond it, `admit` refuses.
        name: the bundle's id, for the metrics.
        longest_wait: seconds; `admit` refuses too what would wait longer, told by how long images waited lately. A backbone may
            be slow, though: two batches may always be under way.
    """

    def __init__(self, engine: Engine, capacity: int, name: str, metrics: Metrics, longest_wait: float = math.inf) -> None:
        self._max_batch = engine.max_batch
        self._capacity = capacity
        self._longest_wait = longest_wait
        # The median of several, since one batch may take seconds when the machine is suspended or a GPU sets itself up.
        self._paces: deque[float] = deque(maxlen=_PACES)
        self._seconds_per_image = 0.0
        self._queue = ImageQueue(engine.parallel, engine.max_batch)
        self._running = 0
        self._in_background = False
        self._wake = threading.Condition()
        self._closing = False
        self._admitted = 0
        self._ahead = 0
        self._queue_gauge = metrics.queue_images.labels(name)
        self._admitted_gauge = metrics.admitted_images.labels(name)
        self._batch_sizes = metrics.batch_images.labels(name)
        # The engine belongs to the threads alone, so that it leaves memory with the last of them.
        self._threads = [
            threading.Thread(target=self._run, args=(engine,), name=f"engine {name}", daemon=True) for _ in range(engine.parallel)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def room(self) -> int:
        """How many images would be admitted now."""
        too_long = self._ahead * self._seconds_per_image > self._longest_wait and self._ahead >= 2 * self._max_batch
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
        ahead = min(images, self._max_batch)  # A large set is queued a batch at a time, and others get in between.
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
        return await self._embed_in_chunks(pixels, self._max_batch, background=False)

    async def embed_in_background(self, pixels: Pixels) -> Float32:
        """As `embed`, in smaller chunks, while nobody's images wait or at least one chunk a second. It needs no admission."""
        return await self._embed_in_chunks(pixels, max(1, self._max_batch // _BACKGROUND_SHARE), background=True)

    def close(self) -> None:
        """Answers what is queued, then ends the threads, and the engine with them."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    async def _embed_in_chunks(self, pixels: Pixels, size: int, *, background: bool) -> Float32:
        parts = [await self._put(pixels[at : at + size], background) for at in range(0, len(pixels), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _put(self, pixels: Pixels, background: bool) -> "asyncio.Future[Float32]":
        embeddings: asyncio.Future[Float32] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._closing:
                raise EngineFailed("the engine has stopped; try again")
            ahead = self._queue.images + self._running + len(pixels)
            self._queue.put(Entry(pixels, embeddings, ahead, background))
            self._queue_gauge.set(self._queue.images)
            self._wake.notify()
        return embeddings

    def _run(self, engine: Engine) -> None:
        if sys.platform == "linux" and not engine.kind.endswith("-cuda"):
            # Where threads have priorities of their own, and one such as this could have every core, the event loop comes first:
            # it needs little, and would else answer and refuse late.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            while batch := self._take():
                self._embed(batch, engine)
        finally:
            # Whatever ended this thread, nobody is left waiting for it, and no other goes on as if nothing had happened.
            with self._wake:
                self._closing = True
                left = self._queue.clear()
                self._queue_gauge.set(0)
                self._wake.notify_all()
            _tell(left, None)

    def _take(self) -> list[Entry]:
        """Waits for work and takes this thread's share of it; nothing is left when it is empty."""
        with self._wake:
            while True:
                # One thread at most is on background work, which has all cores if it is alone; who comes finds another free.
                batch = self._queue.take(background=self._closing or not self._in_background)
                self._in_background |= any(entry.background for entry in batch)
                self._queue_gauge.set(self._queue.images)
                self._running += count_images(batch)
                if batch or self._closing:
                    return batch
                self._wake.wait()

    def _finish(self, batch: list[Entry]) -> None:
        """Learns from a batch how long images wait."""
        last = batch[-1]
        pace = (time.monotonic() - last.since) / last.ahead
        with self._wake:
            self._running -= count_images(batch)
            if last.background:
                self._in_background = False
                self._wake.notify()
            # How long a lone image takes says little about a full queue, and how long background work takes nothing.
            if not last.background and (last.ahead >= self._max_batch or not self._paces):
                self._paces.append(pace)
                self._seconds_per_image = median(self._paces)

    def _embed(self, batch: list[Entry], engine: Engine) -> None:
        embeddings = None
        try:
            pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([entry.pixels for entry in batch])
            self._batch_sizes.observe(len(pixels))
            embeddings = engine.embed(pixels)
        except BaseException as error:  # Whatever was raised, every waiter gets an answer, and the next batch its chance.
            _log_failure(batch, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._finish(batch)
            _tell(batch, embeddings)


def _log_failure(batch: Collection[Entry], error: BaseException) -> None:
    """Log a line for each request whose images are in the batch, the traceback with the first."""
    trace: BaseException | None = error
    for request in dict.fromkeys(entry.request for entry in batch):
        with on_behalf_of(request):
            _log.error("a batch of %d requests' images failed: %r", len(batch), error, exc_info=trace)
        trace = None


def _tell(entries: Collection[Entry], embeddings: Float32 | None) -> None:
    """Gives each entry its part of a batch's embeddings, or EngineFailed; wakes the event loop once for all of them."""
    if entries:
        loop = next(iter(entries)).embeddings.get_loop()
        with suppress(RuntimeError):  # of a loop that was closed: nobody waits any more
            loop.call_soon_threadsafe(_answer, entries, embeddings)


def _answer(entries: Collection[Entry], embeddings: Float32 | None) -> None:
    start = 0
    for entry in entries:
        end = start + len(entry.pixels)
        if not entry.embeddings.done():  # its caller may have gone meanwhile
            if embeddings is None:
                entry.embeddings.set_exception(EngineFailed("the engine failed on this batch; try again"))
            else:
                entry.embeddings.set_result(embeddings[start:end])
        start = end
