"""The quotas of a caller, and how much of them is used."""

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


def _of_rates(account: Account) -> list[QuotaReply]:
    return [
        QuotaReply(quota=rate.what, of=rate.of, limit=rate.quota, used=rate.quota - units, seconds=int(WINDOW))
        for rate, (units, _) in zip(account.rates, account.left(), strict=True)
    ]
