"""A tenant's usage and its quotas, within a transaction: what it has stored, and what it may store.

Triggers of the database count (migration 0016), so that the numbers are right within the transaction that stores, too.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import fields
from itertools import accumulate

from sqlalchemy import Connection, bindparam, select

from server.errors import StoredQuotaExceeded
from server.store.quota_records import Stored, Usage
from server.store.quota_rows import read_tenant
from server.store.tables import usage

_OF_TENANT = select(*(usage.c[field.name] for field in fields(Usage))).where(usage.c.tenant == bindparam("tenant"))


def read_usage(connection: Connection, tenant: str) -> Usage:
    """Returns what a tenant has stored."""
    row = connection.execute(_OF_TENANT, {"tenant": tenant}).one_or_none()
    return Usage() if row is None else Usage(*row)


def check_usage(connection: Connection, tenant: str, *added: Stored) -> None:
    """Checks what this transaction has stored more of. Raises StoredQuotaExceeded if there is more than the tenant may have."""
    quota = read_tenant(connection, tenant)
    if all(getattr(quota, name) is None for name in added):
        return
    used = read_usage(connection, tenant)
    for name in added:
        limit, stored = getattr(quota, name), getattr(used, name)
        if limit is not None and stored > limit:
            raise StoredQuotaExceeded(name, stored, limit)


def captures_that_fit(connection: Connection, tenant: str, sizes: Sequence[int], leaving: int) -> int:
    """Returns how many captures may be added, the first ones first.

    Args:
        sizes: bytes that the image of each takes.
        leaving: how many others make room if all of them are added.
    """
    quota = read_tenant(connection, tenant)
    if quota.captures is None and quota.bytes is None:
        return len(sizes)
    used = read_usage(connection, tenant)
    fit = len(sizes)
    if quota.captures is not None and used.captures + fit - leaving > quota.captures:
        fit = max(0, quota.captures - used.captures)
    if quota.bytes is not None:
        fit = min(fit, bisect_right(list(accumulate(sizes)), quota.bytes - used.bytes))
    return fit
