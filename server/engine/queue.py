"""The queue of an engine: images of requests, and after them images of background work."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from models.answers.question import Answer, Question
from models.arrays import Array, concatenated
from models.images.preprocess import Pixels
from server.context import request_id, tenant_id
from server.fair_queue import FairQueue
from server.tracing import Traced, current_span

_LONGEST_BACKGROUND_WAIT = 1.0  # seconds


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The result of n images.

    Attributes:
        embeddings: float32 (n, D), where the engine left them.
        answer: to the question about them; None if there was none.
        seconds: that the answers of the whole batch took.
    """

    embeddings: Array
    answer: Answer | None
    seconds: float


@dataclass(slots=True, eq=False)
class Entry:
    """Images of one request that are embedded together, and the future that their caller awaits.

    Attributes:
        pixels: uint8 (n, H, W, 3).
        question: what is asked about them, beside their embeddings.
        result: a future of the event loop.
        ahead: the number of images to embed before this entry is done, its own included.
        background: whether it comes after all other images.
        since: the time when it was queued, by `time.monotonic`.
        request: the id of the request that brought it, for the log.
        span: of that request's wait for it, None without traces.
        tenant: whose it is.
    """

    pixels: Pixels
    question: Question | None
    result: "asyncio.Future[Result]"
    ahead: int = 0
    background: bool = False
    since: float = field(default_factory=time.monotonic)
    request: str = field(default_factory=request_id.get)
    span: Traced | None = field(default_factory=current_span.get)
    tenant: str = field(default_factory=tenant_id.get)


def joined(results: Sequence[Result]) -> Result:
    """Returns the results of one request's chunks as one."""
    if len(results) == 1:
        return results[0]
    answers = [result.answer for result in results if result.answer is not None]
    return Result(
        concatenated([result.embeddings for result in results]),
        Answer.joined(answers) if answers else None,
        sum(result.seconds for result in results),
    )


class ImageQueue:
    """Images in the order of their tenants' turns (`server.fair_queue`). Background work is taken only while no others wait.

    Background work that has waited for a second is the next batch, so that it advances under any load. Not thread-safe.

    Args:
        sharers: the number of threads that take batches from it.
        max_batch: the most images of one batch.
        contended: the same while several tenants' images wait or are being embedded.
    """

    def __init__(self, sharers: int, max_batch: int, contended: int) -> None:
        self._sharers = sharers
        self._max_batch = max_batch
        self._contended = contended
        self._awaited = FairQueue[Entry](is_cancelled)
        self._background: deque[Entry] = deque()

    @property
    def images(self) -> int:
        """The number of images that wait, without those of background work."""
        return self._awaited.cost

    def put(self, entry: Entry) -> None:
        if entry.background:
            self._background.append(entry)
        else:
            self._awaited.put(entry.tenant, entry, len(entry.pixels))

    @property
    def tenants(self) -> Collection[str]:
        """The tenants of the images that wait, without those of background work."""
        return self._awaited.tenants

    def before(self, tenant: str, images: int) -> int:
        """Returns how many images are taken until these are, themselves included."""
        return self._awaited.cost_before(tenant, images)

    def take(self, background: bool = True, running: Collection[str] = ()) -> list[Entry]:
        """Returns the next batch: a thread's share of the images of requests, or one entry of background work.

        It is empty if nothing waits. Entries whose caller was cancelled are left out.

        Args:
            background: whether background work may be taken now.
            running: the tenants whose images are being embedded.
        """
        if not background:
            return self._take_awaited(running)
        if self._background and time.monotonic() - self._background[0].since > _LONGEST_BACKGROUND_WAIT:
            return self._take_background() or self._take_awaited(running)
        return self._take_awaited(running) or self._take_background()

    def take_beside(self, is_short: Callable[[str], bool]) -> list[Entry]:
        """Returns a batch as small as with several tenants, of entries whose tenants are short."""
        batch: list[Entry] = []
        room = self._contended
        while (entry := self._awaited.head_of(is_short)) and (not batch or len(entry.pixels) <= room):
            batch.append(self._awaited.pop_of(entry.tenant))
            room -= len(entry.pixels)
        return batch

    def clear(self) -> list[Entry]:
        """Removes all entries and returns them."""
        left = [*self._awaited.clear(), *self._background]
        self._background.clear()
        return left

    def _take_awaited(self, running: Collection[str]) -> list[Entry]:
        batch: list[Entry] = []
        alone = len({*self._awaited.tenants, *running}) <= 1
        room = min(self._max_batch if alone else self._contended, -(-self.images // self._sharers))
        while (entry := self._awaited.head()) and (not batch or len(entry.pixels) <= room):
            batch.append(self._awaited.pop())
            room -= len(entry.pixels)
        return batch

    def _take_background(self) -> list[Entry]:
        while self._background:
            entry = self._background.popleft()
            if not entry.result.cancelled():
                return [entry]
        return []


def is_cancelled(entry: Entry) -> bool:
    """Returns whether nobody waits for an entry any more."""
    return entry.result.cancelled()


def count_images(entries: Iterable[Entry]) -> int:
    """Returns the number of images of several entries."""
    return sum(len(entry.pixels) for entry in entries)
