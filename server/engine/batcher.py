"""A bounded queue of images, and threads that run the waiting images of all requests in batches.

The unit of work is an image, not a request. A free engine takes the queued images at once. Images that arrive while it works
are the next batch. If an engine serves several threads at once, they share the queued images (`server.engine.queue`). Images
arrive here decoded and validated, so no request can spoil another's batch.

Tenants take turns. On a CPU one thread more than fill the cores stands by for tenants that have less than their share of what is
being embedded: no batch can be interrupted, but the operating system lets that thread run beside the others at once.

The thread that embeds a batch also answers the questions about its images, all at once (`models.answers`). So what several
requests share is computed once, and the event loop does none of it.
"""

import asyncio
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import numpy as np

from models.answers.question import Question
from models.arrays import Array
from models.engine import Engine, on_cuda
from models.images.preprocess import Pixels
from server.context import on_behalf_of, tenant_id
from server.engine.answering import Answers, results_of, tell
from server.engine.queue import Entry, ImageQueue, Result, joined
from server.errors import EngineFailed, Overloaded
from server.metrics import Metrics
from server.shares import Shares
from server.threads import yield_to_others
from server.tracing import batch_span

_log = logging.getLogger(__name__)

_PACES = 15
_CONTENDED_SHARE = 8  # batches of several tenants are this fraction of the largest on a CPU, which is no slower with them
_BACKGROUND_SHARE = 16  # background chunks are this fraction of the largest batch, so that new images wait only briefly for one


class Batcher:
    """An engine and the threads that use it. All its callers share one event loop.

    Args:
        answers: called on the threads.
        capacity: the most images of all requests under way. Beyond it, `admit` refuses. Tenants share it (`server.shares`).
        name: the bundle's id, for the metrics and traces.
        longest_wait: seconds. `admit` also refuses images that would wait longer, as estimated from recent waits. Two batches
            may always be under way, however slow the backbone is.
    """

    def __init__(
        self,
        engine: Engine,
        answers: Answers,
        capacity: int,
        name: str,
        metrics: Metrics,
        longest_wait: float = math.inf,
    ) -> None:
        self._answers = answers
        self._name = name
        self._max_batch = engine.max_batch
        self._longest_wait = longest_wait
        # The median of several batches, since one may take seconds when the machine was suspended or a GPU initialises.
        self._paces: deque[float] = deque(maxlen=_PACES)
        self._seconds_per_image = 0.0
        beside = engine.parallel > 1  # which only engines on a CPU are
        contended = max(1, engine.max_batch // _CONTENDED_SHARE) if beside else engine.max_batch
        self._queue = ImageQueue(engine.parallel, engine.max_batch, contended)
        self._running: Counter[str] = Counter()  # images that are being embedded, by tenant
        self._in_background = False
        lock = threading.Lock()
        self._wake, self._wake_beside = threading.Condition(lock), threading.Condition(lock)
        self._parallel = self._busy = engine.parallel  # threads that fill the cores, and those of them that do not wait
        self._closing = False
        self._admitted = Shares(capacity)
        self._ahead: Counter[str] = Counter()
        self._queue_gauge = metrics.queue_images.labels(name)
        self._admitted_gauge = metrics.admitted_images.labels(name)
        self._batch_sizes = metrics.batch_images.labels(name)
        # Those that fill the cores have a lower priority than the one that stands by.
        # Only the threads hold the engine, so that it leaves memory with the last of them.
        self._threads = [
            threading.Thread(target=self._run, args=(engine, take), name=f"engine {name}", daemon=True)
            for take in [self._take] * engine.parallel + [self._take_beside] * beside
        ]
        for thread in self._threads:
            thread.start()

    @property
    def seconds_per_image(self) -> float:
        """The time that an image waits for each one before it, as estimated; 0 while unknown."""
        return self._seconds_per_image

    def room(self, tenant: str) -> int:
        """Returns the number of a tenant's images that would be admitted now."""
        most = self._ahead[tenant] + self._max_batch  # The tenants take turns, so that no other is served more meanwhile.
        ahead = self._ahead[tenant] + sum(min(images, most) for other, images in self._ahead.items() if other != tenant)
        too_long = ahead * self._seconds_per_image > self._longest_wait and ahead >= 2 * self._max_batch
        return 0 if too_long else self._admitted.room(tenant)

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Reserves room for a whole request, from before its images are decoded until they are embedded.

        Call on the event loop only.

        Raises:
            Overloaded: there is no room now.
        """
        tenant = tenant_id.get()
        if images > self.room(tenant):
            raise Overloaded(
                f"the server is working on {self._admitted.total} images; it takes {self._admitted.capacity} at most, and no "
                f"more than {self._longest_wait:g} seconds' work; try again"
            )
        ahead = min(images, self._max_batch)  # A large set is queued batch by batch, with other requests in between.
        self._ahead[tenant] += ahead
        self._admitted.take(tenant, images)
        self._admitted_gauge.set(self._admitted.total)
        try:
            yield
        finally:
            _subtract(self._ahead, tenant, ahead)
            self._admitted.give_back(tenant, images)
            self._admitted_gauge.set(self._admitted.total)

    async def embed(self, pixels: Pixels) -> Array:
        """Returns the embeddings of the images, float32 (N, D), where the engine leaves them.

        The images are queued chunk by chunk, so that a large set does not starve other requests. A caller that is cancelled
        leaves nothing in the queue.

        Args:
            pixels: uint8 (N, H, W, 3).

        Raises:
            EngineFailed: the batch failed, or the engine's thread has ended.
        """
        return (await self.run(pixels, None)).embeddings

    async def run(self, pixels: Pixels, question: Question | None) -> Result:
        """Returns the embeddings of the images, as `embed` does, and the answer to a question about them.

        Args:
            pixels: uint8 (N, H, W, 3), N at least 1.

        Raises:
            EngineFailed: the batch failed, or the engine's thread has ended.
        """
        return await self._run_in_chunks(pixels, self._max_batch, question)

    async def embed_in_background(self, pixels: Pixels) -> Array:
        """Returns the same as `embed`, in smaller chunks and without admission.

        A chunk runs while no other images wait. One that has waited for a second runs in any case.
        """
        return (await self._run_in_chunks(pixels, background_chunk(self._max_batch), background=True)).embeddings

    def close(self) -> None:
        """Answers all queued images, then ends the threads, and the engine with them."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            self._wake_beside.notify_all()
        for thread in self._threads:
            thread.join()

    async def _run_in_chunks(
        self, pixels: Pixels, size: int, question: Question | None = None, *, background: bool = False
    ) -> Result:
        return joined([await self._put(pixels[at : at + size], question, background) for at in range(0, len(pixels), size)])

    def _put(self, pixels: Pixels, question: Question | None, background: bool) -> "asyncio.Future[Result]":
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._closing:
                raise EngineFailed("the engine has stopped; try again")
            entry = Entry(pixels, question, result, background=background)
            entry.ahead = self._queue.before(entry.tenant, len(pixels)) + self._running.total()
            self._queue.put(entry)
            self._queue_gauge.set(self._queue.images)
            self._wake.notify()
            self._let_run_beside()
        return result

    def _run(self, engine: Engine, take: Callable[[], list[Entry]]) -> None:
        if take == self._take and not on_cuda(engine.kind):  # An engine on the CPU may use every core.
            yield_to_others()
        try:
            while batch := take():
                self._embed(batch, engine)
                del batch  # An idle thread keeps nothing of a request.
        finally:
            # Whatever ended this thread, no caller may wait for it in vain, and the other threads must stop too.
            with self._wake:
                self._closing = True
                left = self._queue.clear()
                self._queue_gauge.set(0)
                self._wake.notify_all()
                self._wake_beside.notify_all()
            tell(left, None)

    def _take(self) -> list[Entry]:
        """Waits for work and returns this thread's share of it. The list is empty when the batcher closes and no work is left."""
        with self._wake:
            self._busy -= 1
            while True:
                # At most one thread does background work. New images then find another thread free.
                batch = self._queue.take(self._closing or not self._in_background, self._running)
                if batch or self._closing:
                    self._busy += 1
                    self._begin(batch)
                    self._let_run_beside()
                    return batch
                self._wake.wait()

    def _take_beside(self) -> list[Entry]:
        """Waits until all other threads are at work, and returns images of tenants that are short of what is being embedded."""
        with self._wake_beside:
            while not self._closing:
                if self._busy == self._parallel and (batch := self._queue.take_beside(self._is_short)):
                    self._begin(batch)
                    return batch
                self._wake_beside.wait()
            self._busy += 1
        return self._take()

    def _let_run_beside(self) -> None:
        if self._busy == self._parallel and any(map(self._is_short, self._queue.tenants)):
            self._wake_beside.notify()

    def _is_short(self, tenant: str) -> bool:
        """Returns whether a tenant has less than its share of the images that are being embedded."""
        return self._running[tenant] * len({*self._running, tenant}) < self._running.total()

    def _begin(self, batch: Sequence[Entry]) -> None:
        self._in_background |= any(entry.background for entry in batch)
        self._queue_gauge.set(self._queue.images)
        for entry in batch:
            self._running[entry.tenant] += len(entry.pixels)

    def _finish(self, batch: list[Entry]) -> None:
        """Updates the estimate of how long images wait, from a finished batch."""
        last = batch[-1]
        pace = (time.monotonic() - last.since) / last.ahead
        with self._wake:
            for entry in batch:
                _subtract(self._running, entry.tenant, len(entry.pixels))
            if last.background:
                self._in_background = False
                self._wake.notify()
            # The time of a single image says little about a full queue, and the time of background work says nothing.
            if not last.background and (last.ahead >= self._max_batch or not self._paces):
                self._paces.append(pace)
                self._seconds_per_image = median(self._paces)

    def _embed(self, batch: list[Entry], engine: Engine) -> None:
        results = None
        try:
            with batch_span([entry.span for entry in batch if entry.span], self._name, sum(len(entry.pixels) for entry in batch)):
                pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([entry.pixels for entry in batch])
                self._batch_sizes.observe(len(pixels))
                results = results_of(batch, engine.embed(pixels), self._answers)
        except BaseException as error:  # Whatever was raised, every caller gets an answer, and the next batch runs.
            _log_failure(batch, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._finish(batch)
            tell(batch, results)


def background_chunk(max_batch: int) -> int:
    """Returns the number of images that background work queues at once."""
    return max(1, max_batch // _BACKGROUND_SHARE)


def _subtract(counts: Counter[str], key: str, count: int) -> None:
    counts[key] -= count
    if not counts[key]:
        del counts[key]


def _log_failure(batch: Collection[Entry], error: BaseException) -> None:
    """Logs a line for each request whose images are in the batch, with the traceback in the first line."""
    trace: BaseException | None = error
    for request, span in {entry.request: entry.span for entry in batch}.items():
        with on_behalf_of(request, span):
            _log.error("a batch of %d requests' images failed: %r", len(batch), error, exc_info=trace)
        trace = None
