"""Keeps, reads and forgets the results of requests under idempotency keys. Each statement names its tenant."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from server.store.records import Asked, KeptReply, Replay, ReplayExists, Task, TaskKey
from server.store.statements import belongs_to
from server.store.tables import replays

_LIFETIME = timedelta(hours=24)


def keep_version(connection: Connection, task: Task, asked: Asked | None) -> None:
    """Keeps, for a retry of the request, that it made the task's new version. Raises ReplayExists if the key has an answer."""
    if asked is not None:
        made: dict[str, str | int] = {"task": task.id, "version": task.version.number, "name": task.name}
        _keep(connection, task.key.tenant, asked, task.updated_at, made)


def keep_refresh(connection: Connection, tenant: str, refresh: str, asked: Asked | None, now: datetime) -> None:
    """Keeps, for a retry of the request, that it made a refresh. Raises ReplayExists if the key has an answer."""
    if asked is not None:
        _keep(connection, tenant, asked, now, {"task": "", "refresh": refresh})


def read_replay(connection: Connection, tenant: str, key: str) -> Replay | None:
    """Returns the result of the request under a key if it was answered within the last 24 hours, else None."""
    query = select(replays).where(replays.c.tenant == tenant, replays.c.key == key)
    row = connection.execute(query.where(replays.c.created_at > datetime.now(UTC) - _LIFETIME)).one_or_none()
    return None if row is None else _replay_of(row)


def forget_answers(connection: Connection, key: TaskKey) -> None:
    """Forgets all but the keys of the requests that made a task's versions. With the key, a retry does not repeat the work."""
    connection.execute(update(replays).where(belongs_to(replays, key)).values(fingerprint="", name=None, body=""))


def _keep(connection: Connection, tenant: str, asked: Asked, now: datetime, made: dict[str, str | int]) -> None:
    """Stores the result of a request, and deletes those that are too old. Raises ReplayExists if the key has an answer."""
    connection.execute(delete(replays).where(replays.c.tenant == tenant, replays.c.created_at <= now - _LIFETIME))
    values = {"tenant": tenant, "key": asked.key, "fingerprint": asked.fingerprint, "body": asked.said, "created_at": now}
    try:
        connection.execute(insert(replays).values(**values, **made))
    except IntegrityError:
        raise ReplayExists from None


def _replay_of(row: Row[tuple[object, ...]]) -> Replay:
    if row.status is not None:
        reply = KeptReply(row.status, row.location, row.body)
        return Replay(Asked(row.key, row.fingerprint), row.task, None, None, None, reply)
    return Replay(Asked(row.key, row.fingerprint, row.body), row.task, row.version, row.name, row.refresh, None)
