"""The quotas of a caller, and how much of them is used."""

from collections.abc import Sequence

from server.errors import StoredQuotaExceeded
from server.rates import WINDOW, Account
from server.schemas.limits import QuotaReply
from server.service import Service
from server.store.quota_records import STORED


async def quotas_of(service: Service, tenant: str, account: Account | None) -> list[QuotaReply]:
    """Returns the quotas of a caller: those of its rates, then those of what its tenant stores.

    Args:
        account: what its requests are charged to, if anything limits them.

    Raises:
        StorageFailed: the store cannot be read.
    """
    found = [] if account is None else _of_rates(account)
    if any(getattr(service.quotas.tenant(tenant), name) is not None for name in STORED):
        quota, usage = await service.pools.in_thread(service.store.quotas.stored, tenant)
        found += [
            QuotaReply(quota=name, of="tenant", limit=limit, used=getattr(usage, name), seconds=None)
            for name in STORED
            if (limit := getattr(quota, name)) is not None
        ]
    return found


async def check_room(service: Service, tenant: str, images: Sequence[bytes], tasks: int = 0) -> None:
    """Checks before any work whether a tenant may store these images as examples, and so many further tasks.

    The transaction that stores them checks again, since others may be faster.

    Raises:
        StoredQuotaExceeded: the tenant may not have as much.
        StorageFailed: the store cannot be read.
    """
    size = sum(map(len, images)) if service.settings.keep_images else 0
    adding = {"tasks": tasks, "examples": len(images), "bytes": size}
    known = service.quotas.tenant(tenant)
    if all(getattr(known, name) is None for name in adding):
        return
    quota, usage = await service.pools.in_thread(service.store.quotas.stored, tenant)
    for name, more in adding.items():
        limit, there = getattr(quota, name), getattr(usage, name) + more
        if more and limit is not None and there > limit:
            raise StoredQuotaExceeded(name, there, limit)


def _of_rates(account: Account) -> list[QuotaReply]:
    return [
        QuotaReply(quota=rate.what, of=rate.of, limit=rate.quota, used=rate.quota - units, seconds=int(WINDOW))
        for rate, (units, _) in zip(account.rates, account.left(), strict=True)
    ]
