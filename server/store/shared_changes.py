"""The changes that other servers make in a database which several share, read every quarter of a second."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Row, String, cast, delete, func, literal_column, select, text

from server.changes import Changes
from server.store.background import succeeds
from server.store.postgres_database import PostgresDatabase
from server.store.records import TaskKey
from server.store.tables import changes

POLL_SECONDS = 0.25
TRUE_SECONDS = 0.5
"""What a server has in memory is used for so long after it last read of changes."""

_KEPT_SECONDS = 600.0  # Rows leave after this.
_GAP_SECONDS = 300.0  # A server that has not read for so long might have missed rows, and forgets everything.
_TRIM_SECONDS = 60.0
_AWAY_SECONDS = 1.0  # between two looks for a database that cannot be reached
_HINT_SECONDS = 0.02  # between two hints, however many changes there are

_SNAPSHOT = cast(literal_column("pg_current_snapshot()"), String).label("snapshot")
# The rows that the snapshot of the reading before did not show. They are of transactions that had not ended then, in whichever
# order those began and end. So none is missed, and each comes once. The first condition is for the index.
_SINCE = (
    select(_SNAPSHOT, changes.c.server, changes.c.tenant, changes.c.task, changes.c.removed)
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
_ONLY_SNAPSHOT = select(_SNAPSHOT)


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
        self._snapshot: str | None = None  # of the last reading, if none has failed since
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

    def catch_up(self, transaction: int | None = None) -> None:
        """Counts what other servers have committed before this call, and that transaction in any case.

        Raises:
            StorageFailed: the database cannot be read.
        """
        with self._reading:
            if transaction is None or transaction >= self._changes.settled:
                self._read()

    def _read(self) -> None:
        begun, before = time.monotonic(), self._snapshot
        if before is not None and begun - self._read_at > _GAP_SECONDS:
            before = None
        self._snapshot = None
        with self._database.looking(), self._database.read(also_if_away=True) as connection:
            rows = connection.execute(*((_ONLY_SNAPSHOT,) if before is None else (_SINCE, {"before": before}))).all()
        snapshot: str = rows[0].snapshot
        settled = int(snapshot.partition(":")[0])
        if before is None or settled < self._changes.settled:
            self._on_gap()  # After a failure the database may be another one: a standby that lacks the last transactions.
        else:
            self._take(row for row in rows if row.task is not None)
        self._changes.hear(settled, begun + TRUE_SECONDS)
        self._read_at, self._snapshot = begun, snapshot

    def _take(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            if row.server != self._database.name:
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
