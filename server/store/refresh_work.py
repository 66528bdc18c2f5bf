"""The work on refreshes in the database: which server has which part in it, and what becomes of each task.

Each statement names its tenant, except those that find the oldest refresh.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from server.ids import new_id
from server.store.database import Database
from server.store.database_time import read_time
from server.store.records import TaskKey
from server.store.refresh_notes import write_note
from server.store.refresh_records import LeaseProgress, Reason, RefreshJob, RefreshLease, RefreshNote, RefreshTask
from server.store.refresh_rows import (
    ENDS,
    PENDING_IN,
    find_state,
    first_at_work,
    lease_end,
    live,
    set_state,
    task_of,
    tasks_of,
    turn,
)
from server.store.tables import refresh_leases, refresh_tasks

# Most that are claimed at once: enough that claims cost little, and so little that all servers end at about the same time.
_TASKS, _IMAGES = 16, 400


class RefreshWork:
    """The work on refreshes. Thread-safe; each call blocks for one transaction.

    Servers that share the database work on the same refresh, the oldest, each on the tasks that it has claimed. A claim lasts as
    long as the lease under which it was made. Times are by the database's clock.

    Args:
        shared: whether other servers can share the database. If not, every lease of another process is of one that has ended.

    Raises:
        StorageFailed: from every method, if the database fails; nothing is half written.
    """

    def __init__(self, database: Database, *, shared: bool) -> None:
        self._database = database
        self.shared = shared

    def job(self) -> RefreshJob | None:
        """Returns the oldest refresh of any tenant that is running or being rolled back; None if there is none."""
        with self._database.read() as connection:
            return first_at_work(connection)

    def begin(self, job: RefreshJob) -> RefreshLease:
        """Takes part in a refresh until `leave`, or until the lease ends because it was not renewed."""
        lease = RefreshLease(job, new_id("lease"))
        with self._database.write() as connection:
            now = read_time(connection)
            connection.execute(delete(refresh_leases).where(~live(now) if self.shared else refresh_leases.c.id.is_not(None)))
            row = {"tenant": job.tenant, "refresh": job.id, "id": lease.id, "able": True, "embedded": 0}
            connection.execute(insert(refresh_leases).values(until=lease_end(now), **row))
        return lease

    def renew(self, lease: RefreshLease, progress: LeaseProgress) -> bool | None:
        """Renews a lease and tells the others of the progress made under it.

        Returns:
            Whether another server is able to go on with the refresh. None if the lease has ended, or if this refresh is not the
            one to work on any more. Then what is at hand is to be dropped.
        """
        job = lease.job
        with self._database.write() as connection:
            now = read_time(connection)
            values = {"able": progress.able, "embedded": progress.embedded, "images_per_second": progress.images_per_second}
            row = update(refresh_leases).where(_is(lease), live(now))
            renewed = connection.execute(row.values(until=lease_end(now), **values)).rowcount
            if not renewed or first_at_work(connection) != job:
                return None
            return _another_is_able(connection, lease, now)

    def leave(self, lease: RefreshLease) -> None:
        """Ends a lease: what was claimed under it is free."""
        with self._database.write() as connection:
            connection.execute(delete(refresh_leases).where(_is(lease)))

    def claim(self, lease: RefreshLease) -> list[RefreshTask] | None:
        """Claims the next few pending tasks that no other server has claimed.

        Returns:
            The tasks, the oldest first; none if others have claimed all that are pending. None if the lease has ended, or if this
            refresh is not the one to work on any more.
        """
        job = lease.job
        with self._database.write(job.tenant) as connection:
            now = read_time(connection)
            leases = select(refresh_leases.c.id).where(live(now))
            if first_at_work(connection) != job or not connection.execute(leases.where(_is(lease))).first():
                return None
            others = connection.execute(leases.where(_others(lease))).scalars().all()
            free = or_(refresh_tasks.c.lease.is_(None), refresh_tasks.c.lease.not_in(others))
            pending = tasks_of(job.tenant, job.id).where(refresh_tasks.c.outcome == PENDING_IN[job.state], free)
            rows = connection.execute(pending.order_by(refresh_tasks.c.task).limit(_TASKS)).all()
            within = sum(images <= _IMAGES for images in accumulate(row.images for row in rows))
            claimed = [task_of(row) for row in rows[: max(1, within)]]
            if claimed:
                connection.execute(update(refresh_tasks).where(*_these(job, claimed)).values(lease=lease.id))
        return claimed

    def give_back(self, lease: RefreshLease, tasks: Sequence[RefreshTask]) -> None:
        """Gives back claimed tasks that are pending still."""
        with self._database.write(lease.job.tenant) as connection:
            those = update(refresh_tasks).where(*_these(lease.job, tasks), refresh_tasks.c.lease == lease.id)
            connection.execute(those.values(lease=None))

    def note(self, key: TaskKey, note: RefreshNote) -> None:
        """Writes the outcome for a task that the refresh did not change.

        Raises:
            RefreshStopped: the task is not pending any more or not claimed under the note's lease, or its refresh is not at work;
                nothing is written.
        """
        with self._database.write(key.tenant) as connection:
            write_note(connection, key, note)

    def end(self, job: RefreshJob) -> bool:
        """Ends a refresh. Call it when `claim` found no task.

        Returns:
            False if a task is pending still, be it that another server works on it or that the refresh was paused and resumed.
            Otherwise the refresh has ended now, or is in another state.
        """
        pending = tasks_of(job.tenant, job.id).where(refresh_tasks.c.outcome == PENDING_IN[job.state]).limit(1)
        with self._database.write(job.tenant) as connection:
            if find_state(connection, job.tenant, job.id) == job.state:
                if connection.execute(pending).first():
                    return False
                set_state(connection, job.tenant, job.id, ENDS[job.state])
        return True

    def fail(self, lease: RefreshLease, reason: Reason) -> None:
        """Ends a running refresh that cannot go on. Does nothing if it is in another state, or if another server is able."""
        job = lease.job
        with self._database.write(job.tenant) as connection:
            another = _another_is_able(connection, lease, read_time(connection))
            if find_state(connection, job.tenant, job.id) == "running" and not another:
                set_state(connection, job.tenant, job.id, "failed", code=reason.code, detail=reason.detail)
                turn(connection, job.tenant, job.id, ("waiting",), "skipped")


def _another_is_able(connection: Connection, lease: RefreshLease, now: datetime) -> bool:
    able = select(refresh_leases.c.id).where(_others(lease), live(now), refresh_leases.c.able)
    return connection.execute(able).first() is not None


def _of_refresh(lease: RefreshLease) -> ColumnElement[bool]:
    return and_(refresh_leases.c.tenant == lease.job.tenant, refresh_leases.c.refresh == lease.job.id)


def _is(lease: RefreshLease) -> ColumnElement[bool]:
    return and_(_of_refresh(lease), refresh_leases.c.id == lease.id)


def _others(lease: RefreshLease) -> ColumnElement[bool]:
    return and_(_of_refresh(lease), refresh_leases.c.id != lease.id)


def _these(job: RefreshJob, tasks: Sequence[RefreshTask]) -> tuple[ColumnElement[bool], ...]:
    of_refresh = (refresh_tasks.c.tenant == job.tenant, refresh_tasks.c.refresh == job.id)
    return (*of_refresh, refresh_tasks.c.task.in_([task.task for task in tasks]))
