"""Quotas in memory, so that no request waits for the store, and the rates that requests are charged to."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from server.rates import Account, ArrivalTimes, Holder, Metered, Rate, Times
from server.store.quota_records import EVERY_TENANT, NO_QUOTA, Quota
from server.store.quotas import Owner
from server.store.store import Store

Exchange = Callable[[Mapping[str, float]], Mapping[str, float]]

_METERED: tuple[Metered, ...] = ("requests", "images")


@dataclass(frozen=True, slots=True)
class _Quotas:
    """The quotas of one reading, and the accounts that were made of them since."""

    quotas: Mapping[Owner, Quota]
    accounts: dict[Owner, Account] = field(default_factory=dict)


class ActiveQuotas:
    """Every quota of the store, and how much of the rates is used. Thread-safe.

    Args:
        times: where that is kept. None to keep it in this process.
        exchange: tells others what was used here, in seconds by slot, and returns what was used there. None without others.

    Raises:
        StorageFailed: they cannot be read.
    """

    def __init__(self, store: Store, times: Times | None = None, exchange: Exchange | None = None) -> None:
        self._store = store.quotas
        self._exchange = exchange
        self._times = ArrivalTimes(times, tells=exchange is not None)
        self._known = _Quotas({})
        self._change = 0
        self._loading = threading.Lock()
        self.load()

    def load(self) -> None:
        """Reads the quotas, if any has changed. Raises StorageFailed if they cannot be read."""
        with self._loading:  # An earlier state must not replace a later one.
            change = self._store.last_change()
            if change != self._change:
                self._known = _Quotas(self._store.all())
                self._change = change

    def look(self) -> None:
        """Reads the quotas, if any has changed, and has those hold for all servers together that share the database.

        Raises:
            StorageFailed: the database cannot be reached.
        """
        self.load()
        if self._exchange is None or not self._known.quotas:
            return
        used = self._times.take_used()
        try:
            elsewhere = self._exchange(used)
        except BaseException:
            self._times.put_back(used)
            raise
        self._times.add_used(elsewhere, time.monotonic())

    def put_back(self, used: Mapping[str, float]) -> None:
        """Takes what was used in another process of this server, for the next `look` to tell."""
        self._times.put_back(used)

    def account(self, tenant: str, key: str | None) -> Account | None:
        """Returns what the requests of a caller are charged to; None if nothing limits them. Never blocks.

        Args:
            key: the id of the caller's key; None on a server without keys.
        """
        known = self._known
        if not known.quotas:
            return None
        owner = (tenant, key if key is not None and (tenant, key) in known.quotas else "")
        if (account := known.accounts.get(owner)) is None:
            account = known.accounts[owner] = self._account(known.quotas, owner)
        return account if account.rates else None

    def tenant(self, tenant: str) -> Quota:
        """Returns the limits of a tenant, completed by those of every tenant. Never blocks."""
        return _of_tenant(self._known.quotas, tenant)

    def _account(self, quotas: Mapping[Owner, Quota], owner: Owner) -> Account:
        tenant, key = owner
        limits: dict[Holder, Quota] = {"tenant": _of_tenant(quotas, tenant)}
        if key:
            limits["key"] = quotas[owner]
        return Account(
            self._times,
            {
                what: [
                    Rate(what, of, f"{tenant}/{key if of == 'key' else ''}/{what}", most)
                    for of, limit in limits.items()
                    if (most := getattr(limit, what)) is not None
                ]
                for what in _METERED
            },
        )


def _of_tenant(quotas: Mapping[Owner, Quota], tenant: str) -> Quota:
    return quotas.get((tenant, ""), NO_QUOTA).completed(quotas.get((EVERY_TENANT, ""), NO_QUOTA))
