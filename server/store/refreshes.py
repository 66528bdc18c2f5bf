"""Refreshes in the database: their tasks, their progress, and the actions that each state allows.

Each statement names its tenant.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, case, func, insert, literal, select

from server.audit import making
from server.errors import RefreshNotFound, TaskNotFound, WrongRefreshState
from server.ids import cursor_after, cursor_after_number, new_id, read_cursor, read_number
from server.store.database import Database
from server.store.database_time import read_time
from server.store.records import Asked
from server.store.refresh_records import (
    MOVED_ONCE,
    PENDING,
    LeaseProgress,
    Refresh,
    RefreshAction,
    RefreshState,
    RefreshTask,
)
from server.store.refresh_rows import ENDS, find_state, live, reason_of, set_state, task_of, tasks_of, turn
from server.store.replays import keep_refresh
from server.store.statements import ACTIVE, MOST_VALUES, next_ordinal
from server.store.tables import refresh_leases, refresh_tasks, refreshes, tasks, versions

# Action -> the states that allow it, and the state it leads to. Repeating it in that state changes nothing.
_ACTIONS: Mapping[RefreshAction, tuple[tuple[RefreshState, ...], RefreshState]] = {
    "pause": (("running",), "paused"),
    "resume": (("paused",), "running"),
    "cancel": (("running", "paused"), "cancelled"),
    "rollback": (("finished", "cancelled", "failed", "rolled_back"), "rolling_back"),
}

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
        id_, now = new_id("refresh"), datetime.now(UTC)
        making(f"refreshes/{id_}")
        values = {"tenant": tenant, "id": id_, "bundle": bundle, "max_drop": max_drop, "state": "running"}
        with self._database.write(tenant) as connection:
            ordinal = next_ordinal(connection, tenant, refreshes)
            connection.execute(insert(refreshes).values(created_at=now, updated_at=now, ordinal=ordinal, **values))
            _add_tasks(connection, tenant, id_, wanted)
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
        query = tasks_of(tenant, id_).order_by(refresh_tasks.c.task).limit(limit + 1)
        if cursor is not None:
            query = query.where(refresh_tasks.c.task > read_cursor(cursor))
        with self._database.read() as connection:
            find_state(connection, tenant, id_)
            found = [task_of(row) for row in connection.execute(query)]
        return found[:limit], cursor_after(found[limit - 1].task) if len(found) > limit else None

    def by_state(self) -> dict[RefreshState, int]:
        """Returns the number of refreshes by state, of all tenants, without states that no refresh is in."""
        query = select(refreshes.c.state, func.count().label("there")).group_by(refreshes.c.state)
        with self._database.read() as connection:
            return {row.state: row.there for row in connection.execute(query)}

    def change(self, tenant: str, id_: str, action: RefreshAction) -> Refresh:
        """Pauses, resumes or cancels a refresh, or begins to roll it back. It leaves what was done already as it is.

        Raises:
            WrongRefreshState: the state of the refresh does not allow the action.
        """
        allowed, after = _ACTIONS[action]
        with self._database.write(tenant) as connection:
            state = find_state(connection, tenant, id_)
            if state != after:
                if state not in allowed:
                    raise WrongRefreshState(id_, state, action)
                set_state(connection, tenant, id_, after)
                if action == "cancel":
                    turn(connection, tenant, id_, ("waiting",), "skipped")
                elif action == "rollback":
                    turn(connection, tenant, id_, ("moved", "not_returned"), "returning")
            return _find(connection, tenant, id_)


def _find(connection: Connection, tenant: str, id_: str) -> Refresh:
    row = connection.execute(select(refreshes).where(refreshes.c.tenant == tenant, refreshes.c.id == id_)).one_or_none()
    if row is None:
        raise RefreshNotFound(id_)
    return _with_tasks(connection, tenant, [row])[0]


def _add_tasks(connection: Connection, tenant: str, id_: str, wanted: Literal["all"] | Sequence[str]) -> None:
    """Has the wanted tasks wait, all by one statement or a few hundred by one. Raises TaskNotFound if one does not exist."""
    row = (literal(tenant), literal(id_), tasks.c.id, literal("waiting"), func.json_array_length(versions.c.examples))
    active = select(*row).join_from(tasks, versions, ACTIVE).where(tasks.c.tenant == tenant)
    waiting = insert(refresh_tasks)
    columns = ["tenant", "refresh", "task", "outcome", "images"]
    if wanted == "all":
        connection.execute(waiting.from_select(columns, active))
        return
    distinct = list(dict.fromkeys(wanted))
    for start in range(0, len(distinct), MOST_VALUES):
        some = distinct[start : start + MOST_VALUES]
        known = set(connection.execute(select(tasks.c.id).where(tasks.c.tenant == tenant, tasks.c.id.in_(some))).scalars())
        if len(known) < len(some):
            raise TaskNotFound(next(task for task in some if task not in known))
        connection.execute(waiting.from_select(columns, active.where(tasks.c.id.in_(some))))


def _with_tasks(connection: Connection, tenant: str, rows: Sequence[Row[Any]]) -> list[Refresh]:
    """Returns each of these refreshes with the figures over all its tasks, and what servers tell that work on it."""
    ids = [row.id for row in rows]
    query = select(*_TOLD).where(refresh_tasks.c.tenant == tenant, refresh_tasks.c.refresh.in_(ids))
    told: dict[str, list[Row[Any]]] = {id_: [] for id_ in ids}
    for row in connection.execute(query.group_by(refresh_tasks.c.refresh, refresh_tasks.c.outcome)):
        told[row.refresh].append(row)
    working = _leases(connection, tenant, [row.id for row in rows if row.state in ENDS])
    return [_refresh_of(row, told[row.id], working.get(row.id, {})) for row in rows]


def _leases(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, dict[str, LeaseProgress]]:
    """Returns, by refresh and lease, what servers tell that work on these refreshes."""
    working: dict[str, dict[str, LeaseProgress]] = {}
    if ids:
        query = select(refresh_leases).where(refresh_leases.c.tenant == tenant, refresh_leases.c.refresh.in_(ids))
        for row in connection.execute(query.where(live(read_time(connection)))):
            told = LeaseProgress(row.able, row.embedded, row.images_per_second)
            working.setdefault(row.refresh, {})[row.id] = told
    return working


def _refresh_of(row: Row[Any], told: Sequence[Row[Any]], at_work: Mapping[str, LeaseProgress]) -> Refresh:
    returns = row.state in {"rolling_back", "rolled_back"}
    about = [each for each in told if not returns or each.outcome in MOVED_ONCE]
    judged = sum(each.judged for each in told)
    return Refresh(
        id=row.id,
        bundle=row.bundle,
        max_drop=row.max_drop,
        state=row.state,
        reason=reason_of(row),
        created_at=row.created_at,
        updated_at=row.updated_at,
        tasks={each.outcome: each.tasks for each in told},
        images=sum(each.images for each in about),
        images_done=sum(each.images for each in about if each.outcome not in {*PENDING, "skipped"}),
        judged=judged,
        before=sum(each.before for each in told) / judged if judged else None,
        after=sum(each.after for each in told) / judged if judged else None,
        at_work=at_work,
    )
