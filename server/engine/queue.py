"""The queue of an engine: images of requests, and after them images of background work."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from models.answers.question import Answer, Question
from models.arrays import Array, concatenated
from models.images.preprocess import Pixels
from server.context import request_id
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
    """

    pixels: Pixels
    question: Question | None
    result: "asyncio.Future[Result]"
    ahead: int
    background: bool = False
    since: float = field(default_factory=time.monotonic)
    request: str = field(default_factory=request_id.get)
    span: Traced | None = field(default_factory=current_span.get)


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
    """Images in the order in which they came. Background work is taken only while no other images wait.

    Background work that has waited for a second is the next batch, so that it advances under any load. Not thread-safe.

    Args:
        sharers: the number of threads that take batches from it.
        max_batch: the most images of one batch.
    """

    def __init__(self, sharers: int, max_batch: int) -> None:
        self._sharers = sharers
        self._max_batch = max_batch
        self._awaited: deque[Entry] = deque()
        self._background: deque[Entry] = deque()
        self.images = 0  # without those of background work

    def put(self, entry: Entry) -> None:
        if entry.background:
            self._background.append(entry)
        else:
            self._awaited.append(entry)
            self.images += len(entry.pixels)

    def take(self, background: bool = True) -> list[Entry]:
        """Returns the next batch: a thread's share of the images of requests, or one entry of background work.

        It is empty if nothing waits. Entries whose caller was cancelled are left out.

        Args:
            background: whether background work may be taken now.
        """
        if not background:
            return self._take_awaited()
        if self._background and time.monotonic() - self._background[0].since > _LONGEST_BACKGROUND_WAIT:
            return self._take_background() or self._take_awaited()
        return self._take_awaited() or self._take_background()

    def clear(self) -> list[Entry]:
        """Removes all entries and returns them."""
        left = [*self._awaited, *self._background]
        self._awaited.clear()
        self._background.clear()
        self.images = 0
        return left

    def _take_awaited(self) -> list[Entry]:
        batch: list[Entry] = []
        room = min(self._max_batch, -(-self.images // self._sharers))
        while self._awaited and (not batch or len(self._awaited[0].pixels) <= room):
            entry = self._awaited.popleft()
            self.images -= len(entry.pixels)
            if not entry.result.cancelled():
                batch.append(entry)
                room -= len(entry.pixels)
        return batch

    def _take_background(self) -> list[Entry]:
        while self._background:
            entry = self._background.popleft()
            if not entry.result.cancelled():
                return [entry]
        return []


def count_images(entries: Iterable[Entry]) -> int:
    """Returns the number of images of several entries."""
    return sum(len(entry.pixels) for entry in entries)
