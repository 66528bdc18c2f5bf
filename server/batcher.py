"""A bounded queue of images, and one thread that runs what is waiting as one batch for everyone.

The unit of work is an image, not a request. A free engine takes what is queued at once; what arrives while it works is the
next batch. Images arrive here decoded and validated, so no request can spoil another's batch.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from models.engine import MAX_BATCH, Engine
from models.heads import Float32
from models.preprocess import Pixels
from server.errors import EngineFailed, Overloaded
from server.metrics import Metrics

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Entry:
    """At most `MAX_BATCH` images of one request, uint8 (n, H, W, 3), and who waits for them on the event loop."""

    pixels: Pixels
    embeddings: "asyncio.Future[Float32]"


class Batcher:
    """Owns an engine and the one thread that uses it. Those who wait for it share one event loop.

    Args:
        capacity: images of all requests under way; beyond it, `admit` refuses.
        name: the bundle's id, for the metrics.
    """

    def __init__(self, engine: Engine, capacity: int, name: str, metrics: Metrics) -> None:
        self._engine = engine
        self._capacity = capacity
        self._queue: deque[_Entry] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._admitted = 0
        self._queue_gauge = metrics.queue_images.labels(name)
        self._admitted_gauge = metrics.admitted_images.labels(name)
        self._batch_sizes = metrics.batch_images.labels(name)
        self._thread = threading.Thread(target=self._run, name=f"engine {name}", daemon=True)
        self._thread.start()

    @property
    def room(self) -> int:
        """How many images would be admitted now."""
        return self._capacity - self._admitted

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Reserves room for a whole request, from before its images are decoded until they are embedded.

        Call on the event loop only.

        Raises:
            Overloaded: there is no room now.
        """
        if images > self.room:
            raise Overloaded(f"the server is working on {self._admitted} images and takes {self._capacity} at most; try again")
        self._admitted += images
        self._admitted_gauge.set(self._admitted)
        try:
            yield
        finally:
            self._admitted -= images
            self._admitted_gauge.set(self._admitted)

    async def embed(self, pixels: Pixels) -> Float32:
        """uint8 (N, H, W, 3) -> float32 (N, D), in chunks queued one after another so that a large set starves nobody.

        A caller that is cancelled leaves nothing in the queue.

        Raises:
            EngineFailed: the batch failed, or the engine's thread is gone.
        """
        loop = asyncio.get_running_loop()
        parts = []
        for start in range(0, len(pixels), MAX_BATCH):
            entry = _Entry(pixels[start : start + MAX_BATCH], loop.create_future())
            self._put(entry)
            parts.append(await entry.embeddings)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Answers what is queued, then ends the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _put(self, entry: _Entry) -> None:
        with self._wake:
            if self._closing or not self._thread.is_alive():
                raise EngineFailed("the engine has stopped; try again")
            self._queue.append(entry)
            self._queue_gauge.inc(len(entry.pixels))
            self._wake.notify()

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._embed(batch)
        finally:
            # Whatever ended this thread, nobody is left waiting for it.
            with self._wake:
                self._closing = True
                left, self._queue = self._queue, deque()
            _tell(left, None)

    def _take(self) -> list[_Entry]:
        """Waits for work and takes as many entries as fit one batch, skipping those whose caller has gone."""
        with self._wake:
            while True:
                batch: list[_Entry] = []
                room = MAX_BATCH
                while self._queue and len(self._queue[0].pixels) <= room:
                    entry = self._queue.popleft()
                    self._queue_gauge.dec(len(entry.pixels))
                    if not entry.embeddings.cancelled():
                        batch.append(entry)
                        room -= len(entry.pixels)
                if batch or self._closing:
                    return batch
                self._wake.wait()

    def _embed(self, batch: list[_Entry]) -> None:
        try:
            pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([entry.pixels for entry in batch])
            self._batch_sizes.observe(len(pixels))
            embeddings = self._engine.embed(pixels)
        except BaseException as error:  # Whatever was raised, every waiter gets an answer,
            _log.exception("a batch of %d requests' images failed", len(batch))
            _tell(batch, None)
            if not isinstance(error, Exception):
                raise
            return  # and the next batch its chance.
        _tell(batch, embeddings)


def _tell(entries: Sequence[_Entry], embeddings: Float32 | None) -> None:
    """Gives each entry its part of a batch's embeddings, or EngineFailed; wakes the event loop once for all of them."""
    if entries:
        loop = entries[0].embeddings.get_loop()
        with suppress(RuntimeError):  # of a loop that was closed: nobody waits any more
            loop.call_soon_threadsafe(_answer, entries, embeddings)


def _answer(entries: Sequence[_Entry], embeddings: Float32 | None) -> None:
    start = 0
    for entry in entries:
        end = start + len(entry.pixels)
        if not entry.embeddings.done():  # its caller may have gone meanwhile
            if embeddings is None:
                entry.embeddings.set_exception(EngineFailed("the engine failed on this batch; try again"))
            else:
                entry.embeddings.set_result(embeddings[start:end])
        start = end
