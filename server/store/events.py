"""The events of tasks: written with the changes that they tell of, read in their order, and removed when they are old."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from server.errors import InvalidRequest
from server.store.database import Database
from server.store.event_records import Event, EventBounds, EventPage
from server.store.records import EventType, Task, TaskKey
from server.store.statements import next_ordinal
from server.store.tables import events

LATEST = "latest"
_BEGINNING = "event_0-00000000"  # before the first event
_ID = re.compile(r"event_([0-9]{1,18})-[0-9a-f]{8}")
_MOST = 100_000  # events of a tenant; one takes about 100 bytes
_ROUNDING = 1e-9  # 0.9 - 0.85 is more than 0.05
_COLUMNS = ("id", "type", "task", "created_at", "version", "version_before", "change", "accuracy", "accuracy_before", "captures")


class EventStore:
    """The stored events. Thread-safe; `server.store.store.Store` says what holds for calls without a connection.

    A call with a connection writes within its transaction, so that no event tells of a change that did not happen, and no change
    lacks its event.
    """

    def __init__(self, database: Database, bounds: EventBounds) -> None:
        self._database = database
        self._bounds = bounds

    def page(self, tenant: str, after: str | None, limit: int, only: str | None = None) -> EventPage:
        """Returns at most `limit` events.

        Args:
            after: the id of the event that they follow; None for the oldest on; `LATEST` for none but the id to go on from.
            only: the id of the only task that they may be of; None for any.

        Raises:
            InvalidRequest: `after` is no id of an event.
        """
        ours = events.c.tenant == tenant
        with self._database.read() as connection:
            last = connection.execute(
                select(events.c.id).where(ours).order_by(events.c.ordinal.desc()).limit(1)
            ).scalar_one_or_none()
            newest = last or _BEGINNING
            if after == LATEST:
                return EventPage((), newest, missed=False)
            missed = after not in (None, newest) and not _goes_on(connection, tenant, after)
            place = 0 if after is None or missed else _ordinal(after)
            query = select(events).where(ours, events.c.ordinal > place).order_by(events.c.ordinal).limit(limit)
            if only is not None:
                query = query.where(events.c.task == only)
            found = [_event(row) for row in connection.execute(query)]
        return EventPage(found, found[-1].id if found else newest, missed)

    def trim(self) -> None:
        """Removes the events of all tenants that are too old or too many. The newest one stays: its number is counted on from."""
        ends = select(events.c.tenant, func.min(events.c.ordinal).label("first"), func.max(events.c.ordinal).label("last"))
        with self._database.read() as connection:
            kept = {
                row: self._first_kept(connection, row.tenant, row.last)
                for row in connection.execute(ends.group_by(events.c.tenant))
            }
        for row, ordinal in kept.items():
            if row.first < ordinal:
                with self._database.write(row.tenant) as connection:
                    connection.execute(delete(events).where(events.c.tenant == row.tenant, events.c.ordinal < ordinal))

    def tell_created(self, connection: Connection, before: Task | None, task: Task) -> None:
        """Tells that a task has a new version, which is active, after the version of `before`."""
        version = task.version
        share = version.accuracy and version.accuracy.share
        parent = before and before.version.number
        _tell(
            connection,
            task.key,
            "version_created",
            version=version.number,
            version_before=parent,
            change=version.change,
            accuracy=share,
        )
        if before is not None:
            self._tell_fall(connection, before, task)

    def tell_activated(self, connection: Connection, before: Task, task: Task) -> None:
        """Tells that an existing version is the active one, if it was not so before."""
        version, earlier = task.version, before.version.number
        if version.number != earlier:
            share = version.accuracy and version.accuracy.share
            _tell(connection, task.key, "version_activated", version=version.number, version_before=earlier, accuracy=share)
            self._tell_fall(connection, before, task)

    def tell_waiting(self, connection: Connection, key: TaskKey, notify: int | None, before: int, captures: int) -> None:
        """Tells that a task has `captures` captures, if with these it has reached the number to be told. It had `before`."""
        if notify is not None and before < notify <= captures:
            _tell(connection, key, "captures_waiting", captures=captures)

    def tell_deleted(self, connection: Connection, key: TaskKey) -> None:
        """Tells that a task is gone."""
        _tell(connection, key, "task_deleted")

    def _tell_fall(self, connection: Connection, before: Task, task: Task) -> None:
        now, then = task.version.accuracy, before.version.accuracy
        if now is None or then is None or then.share - now.share <= self._bounds.quality_drop + _ROUNDING:
            return
        _tell(
            connection,
            task.key,
            "quality_fell",
            version=task.version.number,
            version_before=before.version.number,
            accuracy=now.share,
            accuracy_before=then.share,
        )

    def _first_kept(self, connection: Connection, tenant: str, last: int) -> int:
        """Returns the ordinal of the first event that stays. All before it go, so that none is missing between two others."""
        since = datetime.now(UTC) - timedelta(days=self._bounds.days)
        young = select(func.min(events.c.ordinal)).where(events.c.tenant == tenant, events.c.created_at > since)
        return max(connection.execute(young).scalar_one() or last, last - _MOST + 1)


def _tell(connection: Connection, key: TaskKey, kind: EventType, **facts: Any) -> None:
    ordinal = next_ordinal(connection, key.tenant, events)
    # Its second part tells an event from another with its number, where the database was put back to an earlier state.
    id_ = f"event_{ordinal}-{secrets.token_hex(4)}"
    row = {"tenant": key.tenant, "ordinal": ordinal, "id": id_, "type": kind, "task": key.id, "created_at": datetime.now(UTC)}
    connection.execute(insert(events).values(**row, **facts))


def _goes_on(connection: Connection, tenant: str, after: str) -> bool:
    """Returns whether this is an event of this database, and every event that followed it is still there."""
    place = _ordinal(after)
    near = select(events.c.ordinal, events.c.id).where(events.c.tenant == tenant, events.c.ordinal.in_([place, place + 1]))
    found = {row.ordinal: row.id for row in connection.execute(near)}
    return found[place] == after if place in found else place + 1 in found


def _ordinal(id_: str) -> int:
    if (parts := _ID.fullmatch(id_)) is None:
        raise InvalidRequest("after is not the id of an event; leave it out, or say latest")
    return int(parts[1])


def _event(row: Row[Any]) -> Event:
    return Event(**{name: getattr(row, name) for name in _COLUMNS})
