"""What waits for an engine: images that somebody awaits, and behind them those of background work."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from models.heads.head import Float32
from models.images.preprocess import Pixels
from server.context import request_id

_LONGEST_BACKGROUND_WAIT = 1.0  # seconds


@dataclass(slots=True, eq=False)
class Entry:
    """Images of one request that are embedded together, uint8 (n, H, W, 3), and who waits for them on the event loop.

    Attributes:
        ahead: images that were to be embedded before it, and its own.
        background: it comes after everyone else's.
        since: when it was queued, by `time.monotonic`.
        request: the id of the request that brought it, for the log.
    """

    pixels: Pixels
    embeddings: "asyncio.Future[Float32]"
    ahead: int
    background: bool = False
    since: float = field(default_factory=time.monotonic)
    request: str = field(default_factory=request_id.get)


class ImageQueue:
    """First come, first served, but background work only while nobody else waits.

    So that it gets on under any load, background work that has waited for a second is the next batch. Not thread-safe.

    Args:
        sharers: threads that take batches from it.
        max_batch: images of one batch.
    """

    def __init__(self, sharers: int, max_batch: int) -> None:
        self._sharers = sharers
        self._max_batch = max_batch
        self._awaited: deque[Entry] = deque()
        self._background: deque[Entry] = deque()
        self.images = 0  # that somebody awaits

    def put(self, entry: Entry) -> None:
        if entry.background:
            self._background.append(entry)
        else:
            self._awaited.append(entry)
            self.images += len(entry.pixels)

    def take(self, background: bool = True) -> list[Entry]:
        """The next batch: a thread's share of what is awaited, or one entry of background work. Empty if there is nothing.

        Entries whose caller has gone are left out.

        Args:
            background: whether background work may be taken now.
        """
        if not background:
            return self._take_awaited()
        if self._background and time.monotonic() - self._background[0].since > _LONGEST_BACKGROUND_WAIT:
            return self._take_background() or self._take_awaited()
        return self._take_awaited() or self._take_background()

    def clear(self) -> list[Entry]:
        """All that is left."""
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
            if not entry.embeddings.cancelled():
                batch.append(entry)
                room -= len(entry.pixels)
        return batch

    def _take_background(self) -> list[Entry]:
        while self._background:
            entry = self._background.popleft()
            if not entry.embeddings.cancelled():
                return [entry]
        return []


def count_images(entries: Iterable[Entry]) -> int:
    """Images of several entries."""
    return sum(len(entry.pixels) for entry in entries)
