"""Stores the rows of the audit that are told behind the answers, and appends every row to a file as a line of JSON."""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path

from server.audit import AuditRow
from server.audit_counts import AuditCounts
from server.metrics import Metrics
from server.settings import InvalidSettings
from server.store.audit import line_of
from server.store.background import succeeds
from server.store.store import Store

_LOOK_SECONDS = 1.0
_HELD_UP_SECONDS = 10.0  # after a write that failed
_MINUTE = 60.0
_HOUR = 3600.0
_PRIVATE = 0o600


class AuditWriter:
    """The thread that stores what is told here, writes lines, and removes rows that are too old.

    Lines are of rows in the table, so they tell of changes by the command as well. Whatever fails is tried again, and nobody else
    notices.

    Args:
        file: the file of lines; `-` for standard output; None for no lines. It is opened anew for each write, so that another
            program may move it away.
        days: the age at which a row leaves.
        pass_on: takes the rows in a process that only reads the store. Another process stores them, and does all the rest.

    Raises:
        InvalidSettings: the file cannot be written.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        file: str | None,
        days: int,
        pass_on: Callable[[Sequence[AuditRow]], None] | None = None,
    ) -> None:
        self._store = store.audit
        self._add = pass_on or self._store.add
        self._stores = pass_on is None
        self._file = file if self._stores else None
        self._days = days
        self._counts = AuditCounts(metrics.audit_dropped.inc)
        self._place = self._store.end()
        self._minute_at = time.monotonic() + _MINUTE
        self._hour_at = 0.0  # at the start: the server may have been off for days
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        try:
            self._append(b"")
        except OSError as error:
            raise InvalidSettings(f"audit-log: {file} cannot be written: {error.strerror}") from error

    def start(self) -> None:
        """Begins to store what is told."""
        self._thread.start()

    def tell(self, row: AuditRow) -> None:
        """Takes a row, which is stored within a second or two. Repeats within a minute are counted. Never blocks."""
        self._counts.tell(row)

    def count(self, tenant: str | None, key: str | None, action: str, object_: str | None, result: str) -> None:
        """Counts a use, for the row of this hour. Never blocks."""
        self._counts.count(tenant, key, action, object_, result)

    def take(self, rows: Sequence[AuditRow]) -> None:
        """Takes rows that another process has counted. Never blocks."""
        self._counts.put_back(list(rows))

    def close(self) -> None:
        """Ends the thread, and stores what waits and was counted."""
        self._closing.set()
        self._thread.join()
        self._counts.end_minute()
        self._counts.end_hour()
        self._guarded(self._write)

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if now >= self._minute_at:
                self._minute_at = now + _MINUTE
                self._counts.end_minute()
            if now >= self._hour_at:
                self._hour_at = now + _HOUR
                self._counts.end_hour()
                if self._stores:
                    self._guarded(lambda: self._store.trim(self._days))
            if not self._guarded(self._write):
                self._closing.wait(_HELD_UP_SECONDS)

    def _write(self) -> None:
        if rows := self._counts.take():
            try:
                self._add(rows)
            except BaseException:
                self._counts.put_back(rows)
                raise
        while self._file is not None:
            found, place = self._store.after(self._place)
            if not found:
                return
            self._append(b"".join(dumps(line_of(*each), ensure_ascii=False).encode() + b"\n" for each in found))
            self._place = place

    def _append(self, lines: bytes) -> None:
        """Appends lines to the file, all of them or none."""
        if self._file is None:
            return
        if self._file == "-":
            sys.stdout.buffer.write(lines)
            sys.stdout.buffer.flush()
            return
        with open(Path(self._file), "ab", buffering=0, opener=_private) as file:
            size = file.tell()
            try:
                if file.write(lines) < len(lines):
                    raise OSError("the disk is full")
            except OSError:
                file.truncate(size)
                raise

    def _guarded(self, work: Callable[[], None]) -> bool:
        return succeeds(work, "the audit could not be written")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _PRIVATE)
