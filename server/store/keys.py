"""API keys in the database."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, update

from server.audit import doing
from server.context import tenant_id
from server.errors import KeyNotFound, KeyRotated, StorageFailed
from server.keys import digest_of, make_key, next_id
from server.store.key_records import StoredKey
from server.store.quota_records import EVERY_TENANT, NO_QUOTA
from server.store.quota_rows import read_own, write_own
from server.store.records import TaskKey
from server.store.removal import Room, removing
from server.store.statements import read_task
from server.store.tables import keys

OF_KEYS = TaskKey(EVERY_TENANT, "")
"""What servers are told when keys have changed, in the place of a task."""

_COLUMNS = [keys.c[field.name] for field in fields(StoredKey)]


class Transactions(Room, Protocol):
    """The part of `server.store.database.Database` that keys take."""

    def read(self) -> AbstractContextManager[Connection]: ...

    def write(self, *tenants: str, removes: bool = False) -> AbstractContextManager[Connection]: ...

    def tell_change(self, connection: Connection, tenant: str, task: str) -> None: ...


class KeyStore:
    """The stored keys. Thread-safe; each call blocks for one transaction.

    Raises:
        KeyNotFound: from every method that takes a key's id, if the tenant has no such key, or if it is not valid any more and
            the method needs that.
        StorageFailed: from every method, if the disk fails; nothing is half written.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def add(self, key: StoredKey) -> None:
        """Stores a new key.

        Raises:
            TaskNotFound: it is for a task that the tenant does not have; nothing is written.
        """
        with self._changing() as connection:
            if key.task is not None:
                read_task(connection, TaskKey(key.tenant, key.task))
            _insert(connection, key)
            self._tell(connection)
            doing(("key.create", f"keys/{key.id}"), tenant=key.tenant)

    def page(self, tenant: str | None) -> list[StoredKey]:
        """Returns every key of a tenant, or of all tenants for None, the oldest first, with those that are not valid any more."""
        query = select(*_COLUMNS).order_by(keys.c.tenant, keys.c.created_at, keys.c.id)
        if tenant is not None:
            query = query.where(keys.c.tenant == tenant)
        with self._database.read() as connection:
            return [_key_of(row) for row in connection.execute(query)]

    def last_change(self) -> int:
        """Returns the number of the last change of keys, by this process or another; 0 if there never was a key."""
        with self._database.read() as connection:
            return _last_change(connection)

    def revoke(self, tenant: str | None, id_: str) -> None:
        """Revokes a key of the tenant, or of any tenant for None, also on a full disk. A second call changes nothing."""
        removing(self._database, partial(self._revoke, tenant, id_))
        with suppress(StorageFailed):  # It is revoked already. This takes back the space that was given up for it.
            self._database.erase()

    def rotate(self, tenant: str | None, id_: str, grace: timedelta) -> tuple[StoredKey, str]:
        """Makes a key that allows the same as a valid one and lasts as long from now on, and lets the old one end after `grace`.
        The quota of the old one is also one of the new.

        Returns:
            The record of the new key, and the key.

        Raises:
            KeyRotated: a key that took its place is valid.
        """
        now = datetime.now(UTC)
        with self._changing() as connection:
            old = _find(connection, tenant, id_)
            if not old.is_valid(now):
                raise KeyNotFound(id_)
            fresh, key = make_key(_free_id_after(connection, old, now))
            ends = None if old.expires_at is None else now + (old.expires_at - old.created_at)
            new = StoredKey(old.tenant, fresh, old.scope, old.task, digest_of(key), now, ends)
            _insert(connection, new)
            doing(("key.rotate", f"keys/{old.id}"), ("key.create", f"keys/{new.id}"), tenant=old.tenant)
            if (quota := read_own(connection, old.tenant, old.id)) != NO_QUOTA:
                write_own(connection, new.tenant, new.id, quota)
            _change(connection, old, expires_at=min(now + grace, old.expires_at or now + grace))
            self._tell(connection)
        return new, key

    def note_use(self, used: Mapping[str, datetime]) -> None:
        """Writes when keys were last used, by id."""
        with self._database.write(EVERY_TENANT) as connection:
            later = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < bindparam("at"))
            row = update(keys).where(keys.c.id == bindparam("key"), later).values(last_used_at=bindparam("at"))
            connection.execute(row, [{"key": id_, "at": when} for id_, when in used.items()])

    def _revoke(self, tenant: str | None, id_: str) -> None:
        with self._changing(removes=True) as connection:
            key = _find(connection, tenant, id_)
            doing(("key.revoke", f"keys/{key.id}"), tenant=key.tenant)
            if key.revoked_at is None:
                _change(connection, key, revoked_at=datetime.now(UTC))
                self._tell(connection)

    def _changing(self, *, removes: bool = False) -> AbstractContextManager[Connection]:
        """Begins a change of keys. It is also one of the caller's own tenant: so a client's changes come one after another."""
        return self._database.write(EVERY_TENANT, tenant_id.get(), removes=removes)

    def _tell(self, connection: Connection) -> None:
        self._database.tell_change(connection, *OF_KEYS)


def _find(connection: Connection, tenant: str | None, id_: str) -> StoredKey:
    # By tenant in the query: to read another tenant's row would take longer than to find none, and so tell that there is one.
    if (key := _read(connection, tenant, id_)) is None:
        raise KeyNotFound(id_)
    return key


def _read(connection: Connection, tenant: str | None, id_: str) -> StoredKey | None:
    query = select(*_COLUMNS).where(keys.c.id == id_)
    if tenant is not None:
        query = query.where(keys.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    return None if row is None else _key_of(row)


def _free_id_after(connection: Connection, old: StoredKey, now: datetime) -> str:
    """Returns the id of a key that is to take the place of another, and of those that took it and are not valid any more.

    Raises KeyRotated if one of these is.
    """
    id_ = next_id(old.id)
    while (successor := _read(connection, None, id_)) is not None:
        if successor.is_valid(now):
            raise KeyRotated(old.id, successor.id)
        id_ = next_id(id_)
    return id_


def _insert(connection: Connection, key: StoredKey) -> None:
    connection.execute(insert(keys).values(**asdict(key), change=_last_change(connection) + 1))


def _change(connection: Connection, key: StoredKey, **values: Any) -> None:
    row = update(keys).where(keys.c.tenant == key.tenant, keys.c.id == key.id)
    connection.execute(row.values(**values, change=_last_change(connection) + 1))


def _last_change(connection: Connection) -> int:
    return connection.execute(select(func.max(keys.c.change))).scalar_one() or 0


def _key_of(row: Row[Any]) -> StoredKey:
    return StoredKey(**row._mapping)
