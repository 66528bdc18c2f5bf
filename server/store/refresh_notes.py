"""Writes notes on a task in the refreshes that it is part of, within a transaction. Each statement names its tenant."""

from typing import Any

from sqlalchemy import Connection, and_, or_, select, update

from server.store.records import Task, TaskKey
from server.store.refresh_records import RefreshNote, RefreshStopped
from server.store.statements import belongs_to
from server.store.tables import refresh_tasks, refreshes


def note_version(connection: Connection, task: Task, note: RefreshNote | None) -> None:
    """Writes the note, if there is one, with the task's new version. Raises RefreshStopped as `write_note` does."""
    if note is not None:
        write_note(connection, task.key, note.with_version(task.version.number))


def write_note(connection: Connection, key: TaskKey, note: RefreshNote) -> None:
    """Writes the note.

    Raises RefreshStopped unless the task is still pending and claimed under the note's lease, and its refresh still at work.
    """
    row = update(refresh_tasks).where(
        refresh_tasks.c.tenant == key.tenant,
        refresh_tasks.c.refresh == note.refresh,
        refresh_tasks.c.task == key.id,
        refresh_tasks.c.lease == note.lease,
    )
    state = select(refreshes.c.state).where(refreshes.c.tenant == key.tenant, refreshes.c.id == note.refresh).scalar_subquery()
    pending = or_(
        and_(refresh_tasks.c.outcome == "waiting", state == "running"),
        and_(refresh_tasks.c.outcome == "returning", state == "rolling_back"),
    )
    if not connection.execute(row.where(pending).values(_values(note))).rowcount:
        raise RefreshStopped


def forget_in_refreshes(connection: Connection, key: TaskKey) -> None:
    """Marks a deleted task as gone in every refresh, also where it is pending.

    Figures that were computed from its images are removed together with the images.
    """
    row = update(refresh_tasks).where(belongs_to(refresh_tasks, key))
    told = ("judged_by", "judged", "accuracy_before", "accuracy_after", "code", "detail")
    connection.execute(row.values(outcome="gone", **dict.fromkeys(told)))


def _values(note: RefreshNote) -> dict[str, Any]:
    values: dict[str, Any] = {
        "version_before": note.version_before,
        "version_after": note.version_after,
        "version_returned": note.version_returned,
    }
    if note.backbone_before:
        values |= {"bundle_before": note.backbone_before.bundle, "backbone_before": note.backbone_before.sha256}
    if judgement := note.judgement:
        values |= {"judged_by": judgement.by, "judged": judgement.judged}
        values |= {"accuracy_before": judgement.before, "accuracy_after": judgement.after}
    if note.reason:
        values |= {"code": note.reason.code, "detail": note.reason.detail}
    return {"outcome": note.outcome, "lease": None, **{name: value for name, value in values.items() if value is not None}}
