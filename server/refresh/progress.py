"""The pace of the refresh under way, which is kept in memory only."""

import time
from collections import deque

from server.store.refresh_records import LeaseProgress, RefreshLease, RefreshTask

_PACE_SECONDS = 30.0


class Pace:
    """Images per second of late."""

    def __init__(self) -> None:
        self._marks = deque([(time.monotonic(), 0)])
        self._images = 0

    def advance(self, images: int) -> None:
        """To be told whenever images are done."""
        now = time.monotonic()
        self._images += images
        self._marks.append((now, self._images))
        while len(self._marks) > 2 and self._marks[1][0] < now - _PACE_SECONDS:
            self._marks.popleft()

    @property
    def images_per_second(self) -> float | None:
        """None before the first image."""
        (began, before), now = self._marks[0], time.monotonic()
        return (self._images - before) / (now - began) if self._images > before and now > began else None


class UnderWay:
    """This server's part in the refresh that is worked on: how fast it is, and how much of the task at hand is embedded.

    Attributes:
        able: whether this server has the bundles that it has needed so far.
    """

    def __init__(self, lease: RefreshLease) -> None:
        self.lease = lease
        self.able = True
        self._pace = Pace()
        self._embedded = 0
        self._images = 0

    @property
    def progress(self) -> LeaseProgress:
        return LeaseProgress(self.able, self._embedded, self._pace.images_per_second)

    def begin(self, task: RefreshTask) -> None:
        self._embedded, self._images = 0, task.images

    def embed(self, images: int) -> None:
        """At most as many as the task had are counted: it may have grown, or be embedded again after it was changed."""
        counted = min(images, self._images - self._embedded)
        self._embedded += counted
        self._pace.advance(counted)

    def finish(self) -> None:
        """Counts what needed no embedding, or is given up."""
        self._pace.advance(self._images - self._embedded)
        self._embedded = self._images = 0
