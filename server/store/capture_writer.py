"""Writes captures in the background, so that no prediction waits for the disk."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from server.errors import StorageFailed
from server.metrics import Metrics
from server.shares import Shares
from server.store.capture_records import NewCapture
from server.store.store import Store

_WAITING_BYTES = 64 * 2**20  # of images and embeddings, which tenants share; two of the largest images fit
_GATHER_SECONDS = 2.0  # Captures that come meanwhile share a transaction, which costs as much as storing some thirty of them.
_SWEEP_SECONDS = 600.0  # between two looks for captures that are too old, and for objects that no change has stored
_AGAIN_SECONDS = 30.0  # until objects are erased that the object store did not erase

_log = logging.getLogger(__name__)


class CaptureWriter:
    """A bounded queue of captures, and the thread that stores them and removes those that are too many or too old.

    The same thread removes old events, and erases objects of what was removed.

    Whatever fails, captures are dropped and counted, and nobody else notices.

    Args:
        keep_images: False to store embeddings only.
    """

    def __init__(self, store: Store, metrics: Metrics, keep_images: bool) -> None:
        self._store = store
        self._metrics = metrics
        for reason in ("queue_full", "disk_full", "storage_failed"):  # What begins at 1 would be no growth to an alarm.
            metrics.captures_dropped.labels(reason)
        self._keep_images = keep_images
        self._waiting: list[NewCapture] = []
        self._bytes = Shares(_WAITING_BYTES)
        self._sweep_at = 0.0  # at the start: the server may have been off for days
        self._erasing = False
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)
        self._thread.start()

    def offer(self, taken: Sequence[NewCapture]) -> None:
        """Queues captures to be stored soon. Those that there is no room for are dropped and counted. Never blocks.

        A tenant has its share of the room, whatever others have taken.
        """
        with self._wake:
            was_empty = not self._waiting
            for capture in taken:
                if capture.nbytes > self._bytes.room(capture.key.tenant) or self._closing:
                    self._metrics.captures_dropped.labels("queue_full").inc()
                else:
                    self._bytes.take(capture.key.tenant, capture.nbytes)
                    self._waiting.append(capture)
            if was_empty:
                self._wake.notify()

    def sweep_soon(self, erase: bool = False) -> None:
        """Has captures removed soon that are too many or too old, and perhaps erases what was removed.

        Args:
            erase: whether something was removed, or put into the object store in vain, whose bytes are to be erased.
        """
        with self._wake:
            self._erasing |= erase
            self._sweep_at = 0.0
            self._wake.notify()

    def close(self) -> None:
        """Stores what waits, then ends the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._closing or time.monotonic() >= self._sweep_at):
                    self._wake.wait(max(0.0, self._sweep_at - time.monotonic()))
                if self._waiting and not self._closing:
                    self._wake.wait_for(lambda: self._closing, _GATHER_SECONDS)
                closing = self._closing
            self._store_waiting()
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + _SWEEP_SECONDS
                self._guarded(self._sweep)
            if self._erasing:
                self._guarded(self._erase)
            if closing:
                return

    def _store_waiting(self) -> None:
        with self._wake:
            taken, self._waiting, self._bytes = self._waiting, [], Shares(_WAITING_BYTES)
        if taken and (reason := self._guarded(lambda: self._add(taken))):
            self._metrics.captures_dropped.labels(reason).inc(len(taken))

    def _add(self, taken: Sequence[NewCapture]) -> None:
        for some in _by_tenant(taken) if self._store.is_shared else [taken]:
            added = self._store.captures.add(some, self._keep_images)
            self._metrics.captures.inc(len(added.stored))
            self._metrics.captures_dropped.labels("quota").inc(added.over_quota)
            self._erasing |= added.removed

    def _sweep(self) -> None:
        self._erasing = self._store.captures.trim() or self._erasing
        self._erasing = self._store.images.expire() or self._erasing
        self._store.events.trim()

    def _erase(self) -> None:
        objects = self._guarded(self._store.images.erase) is None
        log = self._store.erase()
        if not (objects and log):  # The object store is down, or another program reads the database's log.
            self._sweep_at = min(self._sweep_at, time.monotonic() + (_GATHER_SECONDS if objects else _AGAIN_SECONDS))
        self._erasing = not (objects and log)

    def _guarded(self, work: Callable[[], None]) -> str | None:
        """Does the work. Returns why it failed, or None: whatever it is, this thread goes on."""
        try:
            work()
        except StorageFailed as error:
            return "disk_full" if error.disk_full else "storage_failed"
        except Exception:
            _log.exception("captures could not be stored or removed")
            return "storage_failed"
        return None


def _by_tenant(taken: Sequence[NewCapture]) -> Iterable[list[NewCapture]]:
    """Returns captures of one tenant each: no tenant is to wait for a change that another server makes of another's."""
    found: dict[str, list[NewCapture]] = {}
    for capture in taken:
        found.setdefault(capture.key.tenant, []).append(capture)
    return found.values()
