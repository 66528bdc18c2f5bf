"""The messages between the owner and the workers of a server. A server of one process has none to tell.

That a task's version is out of date is not told here: workers see it in `server.changes`, before they answer.
"""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.audit import AuditRow
from server.engine.registry import BundleChange
from server.inference_counts import Counts, ModelVersion
from server.link import Hub, Link
from server.metrics import Metrics
from server.seat import Seat
from server.store.capture_records import NewCapture
from server.store.records import TaskKey

_WAITING_BYTES = 64 * 2**20  # of captures that a worker has not sent
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Captured:
    """From a worker: captures to be stored."""

    taken: Sequence[NewCapture]


@dataclass(frozen=True, slots=True)
class KeysUsed:
    """From a worker: when keys were last used, by id."""

    used: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class Audited:
    """From a worker: rows of the audit to be stored."""

    rows: Sequence[AuditRow]


@dataclass(frozen=True, slots=True)
class RatesUsed:
    """From a worker: for how many seconds of rates its requests have used them, by slot."""

    used: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Inferred:
    """From a worker: what its models were asked by the Open Inference Protocol."""

    counts: Mapping[ModelVersion, Counts]


@dataclass(frozen=True, slots=True)
class Dropped:
    """From the owner: these versions were removed."""

    key: TaskKey
    versions: Sequence[int]


@dataclass(frozen=True, slots=True)
class AllDropped:
    """From the owner: any version may have been removed."""


@dataclass(frozen=True, slots=True)
class KeyDropped:
    """From the owner: a key opens nothing from now on, whatever the store says of it."""

    tenant: str
    id: str


@dataclass(frozen=True, slots=True)
class BundleChanged:
    """From the owner: what became of a bundle."""

    change: BundleChange
    id: str


@dataclass(frozen=True, slots=True)
class Sync:
    """From the owner, and back: what a worker sent before it comes before it."""

    number: int


class Workers:
    """The workers, for the owner.

    Args:
        on_captures: takes the captures of a worker.
        on_keys: takes when keys were last used.
        on_audit: takes rows of the audit.
        on_rates: takes for how long rates were used.
        on_inferred: takes what models were asked. All are called on threads.
    """

    def __init__(
        self,
        seat: Seat,
        on_captures: Callable[[Sequence[NewCapture]], None],
        on_keys: Callable[[Mapping[str, datetime]], None],
        on_audit: Callable[[Sequence[AuditRow]], None],
        on_rates: Callable[[Mapping[str, float]], None],
        on_inferred: Callable[[Mapping[ModelVersion, Counts]], None],
    ) -> None:
        self._on_inferred = on_inferred
        self._on_rates = on_rates
        self._on_audit = on_audit
        self._on_captures = on_captures
        self._on_keys = on_keys
        self._numbers = itertools.count()
        self._awaited: dict[int, threading.Semaphore] = {}
        self._hub = Hub(seat.messages, self._handle)

    def drop(self, key: TaskKey, versions: Sequence[int]) -> None:
        """Has the workers drop removed versions from memory. Never blocks."""
        self._hub.tell(Dropped(key, versions))

    def drop_all(self) -> None:
        """Has the workers drop every version from memory. Never blocks."""
        self._hub.tell(AllDropped())

    def drop_key(self, tenant: str, id_: str) -> None:
        """Has the workers drop a key. Never blocks."""
        self._hub.tell(KeyDropped(tenant, id_))

    def tell_bundle(self, change: BundleChange, id_: str) -> None:
        """Tells the workers what became of a bundle. Never blocks."""
        self._hub.tell(BundleChanged(change, id_))

    def sync(self) -> None:
        """Waits until all that workers have sent is here, but not for a worker that has hung for two seconds."""
        number, answers = next(self._numbers), threading.Semaphore(0)
        self._awaited[number] = answers
        try:
            for _ in range(self._hub.tell(Sync(number))):
                if not answers.acquire(timeout=_PATIENCE_SECONDS):
                    return
        finally:
            del self._awaited[number]

    def close(self) -> None:
        self._hub.close()

    def _handle(self, message: Any, _back: Callable[[Any], None]) -> None:
        match message:
            case Captured(taken):
                self._on_captures(taken)
            case KeysUsed(used):
                self._on_keys(used)
            case Audited(rows):
                self._on_audit(rows)
            case RatesUsed(used):
                self._on_rates(used)
            case Inferred(counts):
                self._on_inferred(counts)
            case Sync(number) if answers := self._awaited.get(number):
                answers.release()


class Owner:
    """The owner, for a worker.

    Args:
        on_drop: takes versions that were removed.
        on_bundle: takes what became of a bundle.
        on_key: takes the tenant and the id of a key that opens nothing any more.
        on_all: is called when any version may have been removed. So it is at each new connection: an owner may have been
            replaced, and told of removed versions meanwhile. All are called on a thread.
    """

    def __init__(
        self,
        seat: Seat,
        metrics: Metrics,
        on_drop: Callable[[TaskKey, Sequence[int]], None],
        on_bundle: Callable[[BundleChange, str], None],
        on_key: Callable[[str, str], None],
        on_all: Callable[[], None],
    ) -> None:
        self._metrics = metrics
        self._on_drop = on_drop
        self._on_bundle = on_bundle
        self._on_key = on_key
        self._on_all = on_all
        self._link = Link(seat.messages, self._handle, on_all)

    def start(self) -> None:
        """Begins to hear of changes."""
        self._link.start()

    def offer_captures(self, taken: Sequence[NewCapture]) -> None:
        """Has captures stored soon. Those that there is no room for are dropped and counted. Never blocks."""
        size = sum(capture.nbytes for capture in taken)
        if self._link.waiting_bytes + size > _WAITING_BYTES:
            self._metrics.captures_dropped.labels("queue_full").inc(len(taken))
        else:
            self._link.send(Captured(taken), size)

    def note_keys(self, used: Mapping[str, datetime]) -> None:
        """Has it written when keys were last used, by id. Never blocks."""
        self._link.send(KeysUsed(used))

    def tell_rates(self, used: Mapping[str, float]) -> Mapping[str, float]:
        """Tells for how long rates were used here. Returns nothing: the owner charges what was used elsewhere. Never blocks."""
        if used:
            self._link.send(RatesUsed(used))
        return {}

    def tell_audit(self, rows: Sequence[AuditRow]) -> None:
        """Has rows of the audit stored. Never blocks."""
        self._link.send(Audited(rows))

    def tell_inferred(self, counts: Mapping[ModelVersion, Counts]) -> None:
        """Tells what models were asked here. Never blocks."""
        self._link.send(Inferred(counts))

    def close(self) -> None:
        """Sends what waits."""
        self._link.close()

    def _handle(self, message: Any, back: Callable[[Any], None]) -> None:
        match message:
            case Dropped(key, versions):
                self._on_drop(key, versions)
            case AllDropped():
                self._on_all()
            case KeyDropped(tenant, id_):
                self._on_key(tenant, id_)
            case BundleChanged(change, id_):
                self._on_bundle(change, id_)
            case Sync():
                back(message)
