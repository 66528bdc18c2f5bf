"""Refreshes in the database: their tasks, their progress, and the actions that each state allows.

Each statement names its tenant.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, case, func, insert, select, update

from models.heads.head import BackboneRef
from server.audit import making
from server.errors import RefreshNotFound, WrongRefreshState
from server.ids import cursor_after, cursor_after_number, new_id, read_cursor, read_number
from server.store.database import Database
from server.store.records import Asked, TaskKey
from server.store.refresh_notes import write_note
from server.store.refresh_records import (
    MOVED_ONCE,
    PENDING,
    Judgement,
    Outcome,
    Reason,
    Refresh,
    RefreshAction,
    RefreshJob,
    RefreshNote,
    RefreshState,
    RefreshTask,
)
from server.store.replays import keep_refresh
from server.store.statements import all_active_rows, named_active_rows, next_ordinal, now_after, support_ids
from server.store.tables import refresh_tasks, refreshes

# Action -> the states that allow it, and the state it leads to. Repeating it in that state changes nothing.
_ACTIONS: Mapping[RefreshAction, tuple[tuple[RefreshState, ...], RefreshState]] = {
    "pause": (("running",), "paused"),
    "resume": (("paused",), "running"),
    "cancel": (("running", "paused"), "cancelled"),
    "rollback": (("finished", "cancelled", "failed", "rolled_back"), "rolling_back"),
}
_ENDS: Mapping[RefreshState, RefreshState] = {"running": "finished", "rolling_back": "rolled_back"}
_PENDING_IN: Mapping[RefreshState, Outcome] = {"running": "waiting", "rolling_back": "returning"}

_ACCURACY = refresh_tasks.c.judged > 0
_TOLD: tuple[Any, ...] = (
    refresh_tasks.c.refresh,
    refresh_tasks.c.outcome,
    func.count().label("tasks"),
    func.sum(refresh_tasks.c.images).label("images"),
    func.sum(case((_ACCURACY, 1), else_=0)).label("judged"),
    func.sum(case((_ACCURACY, refresh_tasks.c.accuracy_before), else_=0.0)).label("before"),
    func.sum(case((_ACCURACY, refresh_tasks.c.accuracy_after), else_=0.0)).label("after"),
)


class RefreshStore:
    """The stored refreshes. Thread-safe; each call blocks for one transaction.

    Raises:
        RefreshNotFound: from every method that takes a refresh's id, if there is no such refresh.
        StorageFailed: from every method, if the disk fails; nothing is half written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, tenant: str, bundle: str, max_drop: float, wanted: Literal["all"] | Sequence[str], asked: Asked | None = None
    ) -> Refresh:
        """Creates a running refresh of the wanted tasks and returns it.

        Raises:
            TaskNotFound: one of the tasks does not exist; nothing is written.
            ReplayExists: the key of `asked` has been answered; nothing is written.
        """
        with self._database.read() as connection:
            found = all_active_rows(connection, tenant) if wanted == "all" else named_active_rows(connection, tenant, wanted)
            images = {row.id: _images_of(connection, tenant, row) for row in found}
        id_, now = new_id("refresh"), datetime.now(UTC)
        making(f"refreshes/{id_}")
        values = {"tenant": tenant, "id": id_, "bundle": bundle, "max_drop": max_drop, "state": "running"}
        rows = [
            {"tenant": tenant, "refresh": id_, "task": task, "outcome": "waiting", "images": count}
            for task, count in images.items()
        ]
        with self._database.write(tenant) as connection:
            ordinal = next_ordinal(connection, tenant, refreshes)
            connection.execute(insert(refreshes).values(created_at=now, updated_at=now, ordinal=ordinal, **values))
            if rows:
                connection.execute(insert(refresh_tasks), rows)
            keep_refresh(connection, tenant, id_, asked, now)
            return _find(connection, tenant, id_)

    def get(self, tenant: str, id_: str) -> Refresh:
        """Returns a refresh with its progress so far."""
        with self._database.read() as connection:
            return _find(connection, tenant, id_)

    def as_created(self, tenant: str, id_: str) -> Refresh:
        """Returns a refresh as it was when it was made: running, and each of its tasks waiting."""
        of_it = (refresh_tasks.c.tenant == tenant, refresh_tasks.c.refresh == id_)
        count = select(func.count().label("tasks"), func.coalesce(func.sum(refresh_tasks.c.images), 0).label("images"))
        with self._database.read() as connection:
            now = _find(connection, tenant, id_)
            there = connection.execute(count.where(*of_it)).one()
        return Refresh(
            id=id_,
            bundle=now.bundle,
            max_drop=now.max_drop,
            state="running",
            reason=None,
            created_at=now.created_at,
            updated_at=now.created_at,
            tasks={"waiting": there.tasks} if there.tasks else {},
            images=there.images,
            images_done=0,
            judged=0,
            before=None,
            after=None,
        )

    def page(self, tenant: str, cursor: str | None, limit: int) -> tuple[list[Refresh], str | None]:
        """Returns a page of at most `limit` refreshes, newest first, and the cursor of the next page, None after the last.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        query = select(refreshes).where(refreshes.c.tenant == tenant).order_by(refreshes.c.ordinal.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(refreshes.c.ordinal < read_number(cursor))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            found = _with_tasks(connection, tenant, rows[:limit])
        return found, cursor_after_number(rows[limit - 1].ordinal) if len(rows) > limit else None

    def tasks(self, tenant: str, id_: str, cursor: str | None, limit: int) -> tuple[list[RefreshTask], str | None]:
        """Returns a page of at most `limit` tasks of a refresh, the oldest task first, and the cursor of the next page.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        query = _tasks_of(tenant, id_).order_by(refresh_tasks.c.task).limit(limit + 1)
        if cursor is not None:
            query = query.where(refresh_tasks.c.task > read_cursor(cursor))
        with self._database.read() as connection:
            _find_state(connection, tenant, id_)
            found = [_task_of(row) for row in connection.execute(query)]
        return found[:limit], cursor_after(found[limit - 1].task) if len(found) > limit else None

    def by_state(self) -> dict[RefreshState, int]:
        """Returns the number of refreshes by state, of all tenants, without states that no refresh is in."""
        query = select(refreshes.c.state, func.count().label("there")).group_by(refreshes.c.state)
        with self._database.read() as connection:
            return {row.state: row.there for row in connection.execute(query)}

    def job(self) -> RefreshJob | None:
        """Returns the oldest refresh of any tenant that is running or being rolled back; None if there is none."""
        query = select(refreshes).where(refreshes.c.state.in_(tuple(_ENDS))).order_by(refreshes.c.ordinal.desc())
        with self._database.read() as connection:
            first = {row.tenant: row for row in connection.execute(query)}  # Ordinals order those of one tenant.
        if not first:
            return None
        row = min(first.values(), key=lambda row: row.created_at)
        return RefreshJob(row.tenant, row.id, row.bundle, row.max_drop, row.state)

    def next_task(self, job: RefreshJob) -> RefreshTask | None:
        """Returns the next pending task; None if there is none, or if the refresh has left the state that `job` gives."""
        query = _tasks_of(job.tenant, job.id).where(refresh_tasks.c.outcome == _PENDING_IN[job.state])
        with self._database.read() as connection:
            if _find_state(connection, job.tenant, job.id) != job.state:
                return None
            row = connection.execute(query.order_by(refresh_tasks.c.task).limit(1)).one_or_none()
        return None if row is None else _task_of(row)

    def note(self, key: TaskKey, note: RefreshNote) -> None:
        """Writes the outcome for a task that the refresh did not change.

        Raises:
            RefreshStopped: the task is not pending any more, or its refresh is not at work; nothing is written.
        """
        with self._database.write(key.tenant) as connection:
            write_note(connection, key, note)

    def change(self, tenant: str, id_: str, action: RefreshAction) -> Refresh:
        """Pauses, resumes or cancels a refresh, or begins to roll it back. It leaves what was done already as it is.

        Raises:
            WrongRefreshState: the state of the refresh does not allow the action.
        """
        allowed, after = _ACTIONS[action]
        with self._database.write(tenant) as connection:
            state = _find_state(connection, tenant, id_)
            if state != after:
                if state not in allowed:
                    raise WrongRefreshState(id_, state, action)
                _set_state(connection, tenant, id_, after)
                if action == "cancel":
                    _turn(connection, tenant, id_, ("waiting",), "skipped")
                elif action == "rollback":
                    _turn(connection, tenant, id_, ("moved", "not_returned"), "returning")
            return _find(connection, tenant, id_)

    def end(self, job: RefreshJob) -> None:
        """Ends a refresh. Call it when `next_task` found no task.

        It does nothing if the refresh is in another state by now, or if a task is pending after all. That can happen if the
        refresh was paused when `next_task` looked, and was resumed since.
        """
        pending = _tasks_of(job.tenant, job.id).where(refresh_tasks.c.outcome == _PENDING_IN[job.state]).limit(1)
        with self._database.write(job.tenant) as connection:
            if _find_state(connection, job.tenant, job.id) != job.state or connection.execute(pending).first():
                return
            _set_state(connection, job.tenant, job.id, _ENDS[job.state])

    def fail(self, job: RefreshJob, reason: Reason) -> None:
        """Ends a running refresh that cannot go on. Does nothing if it is in another state by now."""
        with self._database.write(job.tenant) as connection:
            if _find_state(connection, job.tenant, job.id) == "running":
                _set_state(connection, job.tenant, job.id, "failed", code=reason.code, detail=reason.detail)
                _turn(connection, job.tenant, job.id, ("waiting",), "skipped")


def _tasks_of(tenant: str, id_: str) -> Select[Any]:
    return select(refresh_tasks).where(refresh_tasks.c.tenant == tenant, refresh_tasks.c.refresh == id_)


def _find(connection: Connection, tenant: str, id_: str) -> Refresh:
    row = connection.execute(select(refreshes).where(refreshes.c.tenant == tenant, refreshes.c.id == id_)).one_or_none()
    if row is None:
        raise RefreshNotFound(id_)
    return _with_tasks(connection, tenant, [row])[0]


def _find_state(connection: Connection, tenant: str, id_: str) -> RefreshState:
    query = select(refreshes.c.state).where(refreshes.c.tenant == tenant, refreshes.c.id == id_)
    state: RefreshState | None = connection.execute(query).scalar_one_or_none()
    if state is None:
        raise RefreshNotFound(id_)
    return state


def _set_state(connection: Connection, tenant: str, id_: str, state: RefreshState, **values: Any) -> None:
    of_refresh = (refreshes.c.tenant == tenant, refreshes.c.id == id_)
    now = now_after(connection.execute(select(refreshes.c.created_at).where(*of_refresh)).scalar_one())
    connection.execute(update(refreshes).where(*of_refresh).values(state=state, updated_at=now, **values))


def _turn(connection: Connection, tenant: str, id_: str, before: Sequence[Outcome], after: Outcome) -> None:
    rows = update(refresh_tasks).where(refresh_tasks.c.tenant == tenant, refresh_tasks.c.refresh == id_)
    connection.execute(rows.where(refresh_tasks.c.outcome.in_(before)).values(outcome=after, code=None, detail=None))


def _with_tasks(connection: Connection, tenant: str, rows: Sequence[Row[Any]]) -> list[Refresh]:
    """Returns each of these refreshes with the figures over all its tasks."""
    ids = [row.id for row in rows]
    query = select(*_TOLD).where(refresh_tasks.c.tenant == tenant, refresh_tasks.c.refresh.in_(ids))
    told: dict[str, list[Row[Any]]] = {id_: [] for id_ in ids}
    for row in connection.execute(query.group_by(refresh_tasks.c.refresh, refresh_tasks.c.outcome)):
        told[row.refresh].append(row)
    return [_refresh_of(row, told[row.id]) for row in rows]


def _refresh_of(row: Row[Any], told: Sequence[Row[Any]]) -> Refresh:
    returns = row.state in {"rolling_back", "rolled_back"}
    about = [each for each in told if not returns or each.outcome in MOVED_ONCE]
    judged = sum(each.judged for each in told)
    return Refresh(
        id=row.id,
        bundle=row.bundle,
        max_drop=row.max_drop,
        state=row.state,
        reason=_reason_of(row),
        created_at=row.created_at,
        updated_at=row.updated_at,
        tasks={each.outcome: each.tasks for each in told},
        images=sum(each.images for each in about),
        images_done=sum(each.images for each in about if each.outcome not in {*PENDING, "skipped"}),
        judged=judged,
        before=sum(each.before for each in told) / judged if judged else None,
        after=sum(each.after for each in told) / judged if judged else None,
    )


def _task_of(row: Row[Any]) -> RefreshTask:
    judgement = Judgement(row.judged_by, row.judged, row.accuracy_before, row.accuracy_after) if row.judged_by else None
    return RefreshTask(
        task=row.task,
        outcome=row.outcome,
        images=row.images,
        version_before=row.version_before,
        backbone_before=BackboneRef(row.bundle_before, row.backbone_before) if row.bundle_before else None,
        version_after=row.version_after,
        version_returned=row.version_returned,
        judgement=judgement,
        reason=_reason_of(row),
    )


def _reason_of(row: Row[Any]) -> Reason | None:
    return Reason(row.code, row.detail) if row.code else None


def _images_of(connection: Connection, tenant: str, row: Row[Any]) -> int:
    """Returns how many examples the active version of a task has. Where an image may have several labels, they do not add up."""
    if row.labels == "multiple":
        return len(support_ids(connection, TaskKey(tenant, row.id), row.number))
    return sum(count for _, count in row.classes)
