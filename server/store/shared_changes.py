"""The changes that other servers make in a database which several share, read every quarter of a second."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, literal_column, or_, select

from server.changes import Changes
from server.store.background import succeeds
from server.store.postgres_database import PostgresDatabase
from server.store.records import TaskKey
from server.store.tables import XMIN, changes

POLL_SECONDS = 0.25
TRUE_SECONDS = 0.5
"""What a server has in memory is used for so long after it last read of changes."""

_KEPT_SECONDS = 600.0  # Rows leave after this.
_GAP_SECONDS = 300.0  # A server that has not read for so long might have missed rows, and forgets everything.
_TRIM_SECONDS = 60.0
_AWAY_SECONDS = 0.5  # between two looks for a database that cannot be reached
_HINT_SECONDS = 0.02  # between two hints, however many changes there are

# Rows that the last reading could not see are of transactions that had not ended then. None of these has a lower id than the xmin
# of that reading. So none is missed, in whichever order transactions begin and end. Some are read twice.
# After a fail-over ids are given again that were not written anywhere else, such as those of hints. Numbers are not, since their
# sequence is written before any row is committed.
_SINCE = (
    select(XMIN.label("xmin"), changes.c.number, changes.c.server, changes.c.tenant, changes.c.task, changes.c.removed)
    .select_from(
        select(literal_column("1"))
        .subquery("one")
        .outerjoin(changes, or_(changes.c.transaction >= bindparam("since"), changes.c.number > bindparam("last")))
    )
    .order_by(changes.c.number)
)


class SharedChanges:
    """Reads of changes by other servers, and counts them. Thread-safe.

    A server that cannot read of them uses nothing from memory after half a second, and so fails rather than answers by a version
    that is not active any more.

    Args:
        changes: where they are counted.
        on_change: takes a task that another server has made, changed or removed, and the numbers of its versions that are gone.
        on_gap: is called when any task may have been changed.
    """

    def __init__(
        self,
        database: PostgresDatabase,
        changes: Changes,
        on_change: Callable[[TaskKey, Sequence[int]], None],
        on_gap: Callable[[], None],
    ) -> None:
        self._database = database
        self._changes = changes
        self._on_change = on_change
        self._on_gap = on_gap
        self._reading = threading.Lock()
        self._read_at = -_GAP_SECONDS
        self._trimmed_at = time.monotonic()
        self._seen: set[int] = set()
        self._last = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=work, name="changes", daemon=True) for work in (self._follow, self._hint)]

    def start(self) -> None:
        """Begins to read, and to tell other servers at once of what this one changes.

        Raises:
            StorageFailed: the database cannot be read.
        """
        self.catch_up()
        self._database.on_write = self._wake.set
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the threads."""
        self._closing.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()

    def catch_up(self, transaction: int | None = None) -> None:
        """Counts what other servers have committed before this call, and that transaction in any case.

        Raises:
            StorageFailed: the database cannot be read.
        """
        with self._reading:
            if transaction is None or transaction >= self._changes.settled:
                self._read()

    def _read(self) -> None:
        begun = time.monotonic()
        with self._database.looking(), self._database.read(also_if_away=True) as connection:
            rows = connection.execute(_SINCE, {"since": self._changes.settled, "last": self._last}).all()
        settled: int = rows[0].xmin
        if begun - self._read_at > _GAP_SECONDS or settled < self._changes.settled:  # or it was put back to an earlier state
            self._on_gap()
            self._last = 0
        else:
            self._take(row for row in rows if row.number is not None)
        self._seen = {row.number for row in rows}
        self._last = max(self._last, rows[-1].number or 0)
        self._changes.hear(settled, begun + TRUE_SECONDS)
        self._read_at = begun

    def _take(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            if row.number not in self._seen and row.server != self._database.name:
                self._on_change(TaskKey(row.tenant, row.task), row.removed)

    def _follow(self) -> None:
        while not self._closing.is_set():
            if succeeds(self.catch_up, "changes of other servers could not be read"):
                succeeds(self._follow_hints, "hints of other servers could not be heard")
            self._closing.wait(_AWAY_SECONDS)

    def _follow_hints(self) -> None:
        """Reads whenever another server says that it has changed something, and every quarter of a second."""
        with self._database.hints() as wait:
            while not self._closing.is_set():
                wait(POLL_SECONDS)
                self.catch_up()
                if time.monotonic() - self._trimmed_at > _TRIM_SECONDS:
                    self._trimmed_at = time.monotonic()
                    self._trim()

    def _hint(self) -> None:
        """Tells other servers that this one has changed something. Without it they would hear a little later."""
        while self._wake.wait() and not self._closing.is_set():
            self._wake.clear()
            succeeds(self._database.hint, "other servers could not be told of a change at once")
            self._closing.wait(_HINT_SECONDS)

    def _trim(self) -> None:
        old = changes.c.time < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, _KEPT_SECONDS)
        with self._database.write() as connection:
            connection.execute(delete(changes).where(old))
