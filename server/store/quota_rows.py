"""Statements on quotas, within a transaction."""

from dataclasses import asdict, fields

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from server.store.quota_records import EVERY_TENANT, NO_QUOTA, Quota
from server.store.tables import quotas

LIMITS = [quotas.c[field.name] for field in fields(Quota)]
"""The columns that make a `Quota`, in its order."""

# Made once, since every transaction that stores asks.
_OF_TENANT = select(quotas.c.tenant, *LIMITS).where(
    or_(quotas.c.tenant == bindparam("tenant"), quotas.c.tenant == EVERY_TENANT), quotas.c.key == ""
)


def read_own(connection: Connection, tenant: str, key: str) -> Quota:
    """Returns the limits that were set for a tenant, where `key` is empty, or for one of its keys."""
    row = connection.execute(select(*LIMITS).where(quotas.c.tenant == tenant, quotas.c.key == key)).one_or_none()
    return NO_QUOTA if row is None else Quota(*row)


def read_tenant(connection: Connection, tenant: str) -> Quota:
    """Returns the limits of a tenant, completed by those of every tenant."""
    found = {row[0]: Quota(*row[1:]) for row in connection.execute(_OF_TENANT, {"tenant": tenant})}
    return found.get(tenant, NO_QUOTA).completed(found.get(EVERY_TENANT, NO_QUOTA))


def write_own(connection: Connection, tenant: str, key: str, quota: Quota) -> None:
    """Stores the limits of a tenant or of one of its keys, in the place of those before."""
    values = {**asdict(quota), "change": last_change(connection) + 1}
    row = update(quotas).where(quotas.c.tenant == tenant, quotas.c.key == key)
    if not connection.execute(row.values(**values)).rowcount:
        connection.execute(insert(quotas).values(tenant=tenant, key=key, **values))


def last_change(connection: Connection) -> int:
    """Returns the number of the last change of quotas; 0 if there never was one."""
    return connection.execute(select(func.max(quotas.c.change))).scalar_one() or 0
