"""Heads in memory, by task version."""

from collections.abc import Iterable, Sequence

from models.heads import Head
from server.metrics import Metrics
from server.store import Store
from server.version_cache import TaskVersion, VersionCache

_MAX_BYTES = 512 * 2**20


class ActiveHeads:
    """Reads a head from the store once and keeps it, within a bound on memory. Thread-safe."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._heads = VersionCache[Head](_MAX_BYTES, lambda head: head.weight.nbytes + 1024)
        metrics.active_heads.set_function(lambda: len(self._heads))

    def cached(self, tenant: str, task: str, version: int) -> Head | None:
        """The head, if it is in memory."""
        return self._heads.get(tenant, task, version)

    def load(self, tenant: str, task: str, version: int) -> Head:
        """The head, from the store if need be; blocks while it is read.

        Raises:
            TaskNotFound, VersionNotFound: there is no such version.
            StorageFailed: the store cannot be read.
        """
        return self._heads.load(tenant, task, version, lambda: self._store.head(tenant, task, version))

    def load_many(self, tenant: str, wanted: Sequence[TaskVersion]) -> dict[TaskVersion, Head]:
        """The head of each task and version that exists; blocks while those not in memory are read, in a few statements.

        Raises:
            StorageFailed: the store cannot be read.
        """
        return self._heads.load_many(tenant, wanted, lambda missing: self._store.heads(tenant, missing))

    def keep(self, tenant: str, task: str, version: int, head: Head) -> None:
        """Puts a head that was just fitted where the next query will find it."""
        self._heads.keep(tenant, task, version, head)

    def drop(self, tenant: str, task: str, versions: Iterable[int]) -> None:
        """To be told which versions have been removed. Requests that hold one of their heads may finish with it."""
        self._heads.drop(tenant, task, versions)
