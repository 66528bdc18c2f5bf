"""The changes that other servers make in a database which several share, read every quarter of a second."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Row, String, cast, delete, func, literal_column, select, text, tuple_

from server.changes import Changes, seconds_now
from server.errors import StorageFailed
from server.store.background import succeeds
from server.store.postgres_database import PostgresDatabase
from server.store.records import TaskKey
from server.store.tables import changes, spent

POLL_SECONDS = 0.25
TRUE_SECONDS = 0.5
"""What a server has in memory is used for so long after it last read of changes."""

_KEPT_SECONDS = 600.0  # Rows leave after this.
_GAP_SECONDS = 300.0  # A server that has not read for so long might have missed rows, and forgets everything.
_TRIM_SECONDS = 60.0
_AWAY_SECONDS = 0.5  # between two looks for a database that cannot be reached
_HINT_SECONDS = 0.02  # between two hints, however many changes there are

# The last one tells a standby that was promoted from the primary before it.
_HERE: tuple[ColumnElement[Any], ...] = (
    cast(literal_column("pg_current_snapshot()"), String).label("snapshot"),
    literal_column("pg_is_in_recovery()", Boolean).label("is_standby"),
    cast(literal_column("pg_postmaster_start_time()"), String).label("started"),
)
# The rows that the snapshot of the reading before did not show. They are of transactions that had not ended then, in whichever
# order those began and end. So none is missed, and each comes once. The first condition is for the index.
_SINCE = (
    select(*_HERE, changes.c.server, changes.c.tenant, changes.c.task, changes.c.removed)
    .select_from(
        select(literal_column("1"))
        .subquery("one")
        .outerjoin(
            changes,
            text(
                "changes.transaction >= pg_snapshot_xmin(CAST(:before AS pg_snapshot))::text::bigint "
                "AND NOT pg_visible_in_snapshot(changes.transaction::text::xid8, CAST(:before AS pg_snapshot))"
            ),
        )
    )
    .order_by(changes.c.number)
)
_ONLY_HERE = select(*_HERE)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A snapshot of PostgreSQL, `xmin:xmax:xip,…`, and the time at which the server that gave it had started."""

    text: str
    started: str

    @property
    def settled(self) -> int:
        return int(self.text.partition(":")[0])

    def shows(self, transaction: int) -> bool:
        """Returns whether that transaction had ended."""
        _, end, open_ = self.text.split(":")
        return transaction < int(end) and str(transaction) not in open_.split(",")


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
        self._read_at = 0.0
        self._last: _Snapshot | None = None  # that of the last reading, if none has failed since
        self._trimmed_at = time.monotonic()
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

    def knows(self, transaction: int) -> bool:
        """Returns whether what that transaction changed is counted. Never blocks."""
        last = self._last
        return last is not None and last.shows(transaction)

    def catch_up(self, transaction: int | None = None) -> None:
        """Counts what other servers have committed before this call; with a transaction, at least what that one changed.

        Raises:
            StorageFailed: the database cannot be read.
        """
        called = seconds_now()
        with self._reading:
            # Another caller may have read meanwhile. A transaction of another database is never known, and then this reads.
            if self._read_at < called and not (transaction is not None and self.knows(transaction)):
                self._read()

    def _read(self) -> None:
        begun, before = seconds_now(), self._last
        if before is not None and begun - self._read_at > _GAP_SECONDS:
            before = None
        self._last = None
        with self._database.looking(), self._database.read(also_if_away=True) as connection:
            query = _ONLY_HERE if before is None else _SINCE.params(before=before.text)
            rows = connection.execute(query).all()
            if rows[0].is_standby:
                raise StorageFailed("the database is a standby, which may lack the latest changes; try again", retry_after=1)
        now = _Snapshot(rows[0].snapshot, rows[0].started)
        if before is None or now.started != before.started or now.settled < before.settled:
            self._on_gap()  # It may be another database now: a standby that lacked the last transactions.
        else:
            self._take(rows)
        self._changes.hear(now.settled, begun + TRUE_SECONDS)
        self._read_at, self._last = begun, now

    def _take(self, rows: Sequence[Row[Any]]) -> None:
        for row in rows:
            if row.task is not None and row.server != self._database.name:
                self._on_change(TaskKey(row.tenant, row.task), row.removed)

    def _follow(self) -> None:
        while not self._closing.is_set():
            is_there = succeeds(self.catch_up, "changes of other servers could not be read")
            if is_there:
                succeeds(self._follow_hints, "hints of other servers could not be heard")
            self._closing.wait(POLL_SECONDS if is_there else _AWAY_SECONDS)

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
        """Removes old rows of changes, and of rates, of all servers."""
        for table in (changes, spent):
            old = table.c.time < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, _KEPT_SECONDS)
            key = tuple(table.primary_key)
            rows = select(*key).where(old).with_for_update(skip_locked=True)  # Other servers may be removing them, too.
            with self._database.write() as connection:
                connection.execute(delete(table).where(tuple_(*key).in_(rows)))
