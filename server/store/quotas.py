"""Quotas in the database."""

from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import select

from server.audit import doing
from server.errors import KeyNotFound
from server.keys import DEFAULT_TENANT
from server.store.keys import Transactions
from server.store.quota_records import EVERY_TENANT, NO_QUOTA, Quota, Usage
from server.store.quota_rows import LIMITS, last_change, read_own, read_tenant, write_own
from server.store.tables import keys, quotas, tasks
from server.store.usage import read_usage

Owner = tuple[str, str]
"""A tenant and the id of one of its keys, which is empty for the tenant as a whole."""


class QuotaStore:
    """The stored quotas. Thread-safe; each call blocks for one transaction.

    Raises:
        StorageFailed: from every method, if the disk fails; nothing is half written.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database

    def change(self, tenant: str, key: str, limits: Mapping[str, int | None]) -> Quota:
        """Sets these limits of a tenant, where `key` is empty, or of one of its keys. None lifts one. Returns all of them.

        Raises:
            KeyNotFound: the tenant has no such key.
        """
        with self._database.write(EVERY_TENANT) as connection:
            if key and connection.execute(select(keys.c.id).where(keys.c.tenant == tenant, keys.c.id == key)).first() is None:
                raise KeyNotFound(key)
            doing(("quota.change", f"keys/{key}" if key else None), tenant=tenant)
            changed = Quota(**{**asdict(read_own(connection, tenant, key)), **limits})
            write_own(connection, tenant, key, changed)
        return changed

    def knows(self, tenant: str) -> bool:
        """Returns whether the tenant has a key or a task, or is the one that there always is."""
        with self._database.read() as connection:
            rows = (connection.execute(select(table.c.id).where(table.c.tenant == tenant).limit(1)) for table in (keys, tasks))
            return tenant == DEFAULT_TENANT or any(row.first() for row in rows)

    def all(self) -> dict[Owner, Quota]:
        """Returns the quotas that limit anything, by tenant and key."""
        query = select(quotas.c.tenant, quotas.c.key, *LIMITS).order_by(quotas.c.tenant, quotas.c.key)
        with self._database.read() as connection:
            found = {(row[0], row[1]): Quota(*row[2:]) for row in connection.execute(query)}
        return {owner: quota for owner, quota in found.items() if quota != NO_QUOTA}

    def last_change(self) -> int:
        """Returns the number of the last change of quotas, by this process or another; 0 if there never was one."""
        with self._database.read() as connection:
            return last_change(connection)

    def stored(self, tenant: str) -> tuple[Quota, Usage]:
        """Returns the limits of a tenant, completed by those of every tenant, and what it has stored."""
        with self._database.read() as connection:
            return read_tenant(connection, tenant), read_usage(connection, tenant)
