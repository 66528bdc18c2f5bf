"""Heads in memory, by task version. Versions are immutable, so an entry never goes stale; the least used leave first, and
those of removed versions at once."""

import threading
from collections.abc import Iterable, Sequence

from cachetools import LRUCache

from models.heads import Head
from server.metrics import Metrics
from server.store import Store

_MAX_BYTES = 512 * 2**20

_Key = tuple[str, str, int]


class ActiveHeads:
    """Reads a head from the store once and keeps it, within a bound on memory. Thread-safe."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._heads: LRUCache[_Key, Head] = LRUCache(_MAX_BYTES, getsizeof=lambda head: head.weight.nbytes + 1024)
        self._lock = threading.Lock()
        self._drops = 0
        self._gauge = metrics.active_heads

    def cached(self, tenant: str, task: str, version: int) -> Head | None:
        """The head, if it is in memory."""
        with self._lock:
            return self._heads.get((tenant, task, version))

    def load(self, tenant: str, task: str, version: int) -> Head:
        """The head, from the store if need be; blocks while it is read.

        Raises:
            TaskNotFound, VersionNotFound: there is no such version.
            StorageFailed: the store cannot be read.
        """
        head = self.cached(tenant, task, version)
        if head is None:
            drops = self._drops
            head = self._store.head(tenant, task, version)
            with self._lock:
                if drops == self._drops:  # Otherwise it may be one of those dropped meanwhile.
                    self._put((tenant, task, version), head)
        return head

    def load_many(self, tenant: str, wanted: Sequence[tuple[str, int]]) -> list[Head | None]:
        """The head of each task and version, None if there is none; blocks while those not in memory are read, in a few
        statements.

        Raises:
            StorageFailed: the store cannot be read.
        """
        with self._lock:
            found = [self._heads.get((tenant, task, version)) for task, version in wanted]
        if missing := [key for key, head in zip(wanted, found, strict=True) if head is None]:
            drops = self._drops
            read = self._store.heads(tenant, missing)
            with self._lock:
                if drops == self._drops:  # Otherwise some may be of those dropped meanwhile.
                    for (task, version), head in read.items():
                        self._put((tenant, task, version), head)
            found = [head or read.get(key) for key, head in zip(wanted, found, strict=True)]
        return found

    def keep(self, tenant: str, task: str, version: int, head: Head) -> None:
        """Puts a head that was just fitted where the next query will find it."""
        with self._lock:
            self._put((tenant, task, version), head)

    def drop(self, tenant: str, task: str, versions: Iterable[int]) -> None:
        """To be told which versions have been removed. Requests that hold one of their heads may finish with it."""
        with self._lock:
            self._drops += 1
            for version in versions:
                self._heads.pop((tenant, task, version), None)
            self._gauge.set(len(self._heads))

    def _put(self, key: _Key, head: Head) -> None:
        if head.weight.nbytes + 1024 <= _MAX_BYTES:
            self._heads[key] = head
        self._gauge.set(len(self._heads))
