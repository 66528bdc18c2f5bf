"""Counts of what models were asked by the Open Inference Protocol, since the server was started.

A worker gives what it counted to the owner about once a second (`server.peers`), so that the owner knows those of all processes.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

_MOST_MODELS = 10_000


class ModelVersion(NamedTuple):
    """A version of a model, as a tenant asks for it."""

    tenant: str
    model: str
    version: str


@dataclass(slots=True)
class Counts:
    """Requests to a version of a model.

    Attributes:
        last: when the last one was answered, in milliseconds since 1970; 0 if there was none.
        requests, images: of the requests that were answered.
        nanoseconds: that these took from the moment at which their bodies were read: in all, and for decoding, embedding and
            applying the head, by the names of `server.metrics.Stopwatch`.
    """

    last: int = 0
    requests: int = 0
    images: int = 0
    failures: int = 0
    nanoseconds: Mapping[str, int] | None = None

    def add(self, other: "Counts") -> None:
        """Adds what another process counted."""
        self.last = max(self.last, other.last)
        self.requests += other.requests
        self.images += other.images
        self.failures += other.failures
        mine, theirs = self.nanoseconds or {}, other.nanoseconds or {}
        self.nanoseconds = {stage: mine.get(stage, 0) + theirs.get(stage, 0) for stage in {**mine, **theirs}}


class InferenceCounts:
    """The counts of each version of a model that was asked. The least recently asked leave first. Thread-safe."""

    def __init__(self) -> None:
        self._counts: LRUCache[ModelVersion, Counts] = LRUCache(_MOST_MODELS)
        self._lock = threading.Lock()

    def answered(self, model: ModelVersion, images: int, milliseconds: Mapping[str, float]) -> None:
        """Counts a request that was answered."""
        nanoseconds = {stage: round(1e6 * spent) for stage, spent in milliseconds.items()}
        self.add({model: Counts(time.time_ns() // 1_000_000, 1, images, 0, nanoseconds)})

    def failed(self, model: ModelVersion) -> None:
        """Counts a request that was refused after its model had been found."""
        self.add({model: Counts(failures=1)})

    def add(self, counts: Mapping[ModelVersion, Counts]) -> None:
        """Adds counts."""
        with self._lock:
            for model, each in counts.items():
                if (known := self._counts.get(model)) is None:
                    self._counts[model] = known = Counts()
                known.add(each)

    def of(self, tenant: str, model: str | None = None) -> dict[ModelVersion, Counts]:
        """Returns the counts of a tenant's models, or of the versions of one of them."""
        with self._lock:
            return {
                each: counts for each, counts in self._counts.items() if each.tenant == tenant and model in {None, each.model}
            }

    def taken(self) -> dict[ModelVersion, Counts]:
        """Returns all counts, and begins anew."""
        with self._lock:
            counts = dict(self._counts)
            self._counts.clear()
        return counts
