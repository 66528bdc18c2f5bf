"""Statements that the clients' and the servers' side of refreshes share, within a transaction. Each names its tenant."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select, update

from models.heads.head import BackboneRef
from server.errors import RefreshNotFound
from server.store.refresh_records import Judgement, Outcome, Reason, RefreshJob, RefreshState, RefreshTask
from server.store.statements import now_after
from server.store.tables import refresh_leases, refresh_tasks, refreshes

LEASE_SECONDS = 8.0
"""A server that has renewed its lease for so long no more is taken for dead, and others take over the tasks that it claimed."""

ENDS: Mapping[RefreshState, RefreshState] = {"running": "finished", "rolling_back": "rolled_back"}
PENDING_IN: Mapping[RefreshState, Outcome] = {"running": "waiting", "rolling_back": "returning"}


def tasks_of(tenant: str, id_: str) -> Select[Any]:
    """Returns the query for the tasks of a refresh. `task_of` reads its rows."""
    return select(refresh_tasks).where(refresh_tasks.c.tenant == tenant, refresh_tasks.c.refresh == id_)


def task_of(row: Row[Any]) -> RefreshTask:
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
        reason=reason_of(row),
    )


def reason_of(row: Row[Any]) -> Reason | None:
    return Reason(row.code, row.detail) if row.code else None


def lease_end(now: datetime) -> datetime:
    """Returns when a lease ends that is renewed now."""
    return now + timedelta(seconds=LEASE_SECONDS)


def live(now: datetime) -> ColumnElement[bool]:
    """Returns the condition that a lease has not ended. One that ends too late was given before the clock was set back."""
    return and_(refresh_leases.c.until > now, refresh_leases.c.until <= lease_end(now))


def first_at_work(connection: Connection) -> RefreshJob | None:
    """Returns the oldest refresh of any tenant that is running or being rolled back; None if there is none."""
    query = select(refreshes).where(refreshes.c.state.in_(tuple(ENDS))).order_by(refreshes.c.ordinal.desc())
    first = {row.tenant: row for row in connection.execute(query)}  # Ordinals order those of one tenant.
    if not first:
        return None
    row = min(first.values(), key=lambda row: (row.created_at, row.id))
    return RefreshJob(row.tenant, row.id, row.bundle, row.max_drop, row.state)


def find_state(connection: Connection, tenant: str, id_: str) -> RefreshState:
    """Returns the state of a refresh. Raises RefreshNotFound if there is none."""
    query = select(refreshes.c.state).where(refreshes.c.tenant == tenant, refreshes.c.id == id_)
    state: RefreshState | None = connection.execute(query).scalar_one_or_none()
    if state is None:
        raise RefreshNotFound(id_)
    return state


def set_state(connection: Connection, tenant: str, id_: str, state: RefreshState, **values: Any) -> None:
    """Changes the state of a refresh, and these columns."""
    of_refresh = (refreshes.c.tenant == tenant, refreshes.c.id == id_)
    now = now_after(connection.execute(select(refreshes.c.created_at).where(*of_refresh)).scalar_one())
    connection.execute(update(refreshes).where(*of_refresh).values(state=state, updated_at=now, **values))


def turn(connection: Connection, tenant: str, id_: str, before: Sequence[Outcome], after: Outcome) -> None:
    """Gives all tasks with one of these outcomes another one."""
    rows = update(refresh_tasks).where(refresh_tasks.c.tenant == tenant, refresh_tasks.c.refresh == id_)
    connection.execute(rows.where(refresh_tasks.c.outcome.in_(before)).values(outcome=after, code=None, detail=None))
