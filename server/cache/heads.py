"""Heads in memory: by task version, and stacked for requests that ask many tasks together."""

import threading
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache
from cachetools.keys import hashkey

from models.heads.apply import HeadStack, stack_heads
from models.heads.head import Head
from server.cache.versions import TaskVersion, VersionCache
from server.metrics import Metrics
from server.store.records import TaskKey
from server.store.store import Store

_MAX_BYTES, _MAX_MANY_BYTES = 512 * 2**20, 128 * 2**20
_HEAD_BYTES = 1024  # a head's memory beside its weight


@dataclass(frozen=True, slots=True, eq=False)
class LoadedMany:
    """The heads of some tasks' versions, ready to be applied to the same images.

    Attributes:
        stacks: the heads; their positions are positions among the versions asked for.
        missing: the positions of the versions that do not exist.
    """

    stacks: Sequence[HeadStack]
    missing: Sequence[int]

    @property
    def nbytes(self) -> int:
        """The approximate memory of the heads, in bytes."""
        return sum(stack.nbytes + _HEAD_BYTES * len(stack.positions) for stack in self.stacks)


class ActiveHeads:
    """Reads a head from the store once and keeps it, within a bound on memory. Thread-safe."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._heads = VersionCache[Head](
            _MAX_BYTES, lambda head: head.weight.nbytes + _HEAD_BYTES, tell_count=metrics.active_heads.set
        )
        self._many: LRUCache[Hashable, LoadedMany] = LRUCache(_MAX_MANY_BYTES, getsizeof=lambda loaded: loaded.nbytes)
        self._lock = threading.Lock()
        self._drops = 0

    def cached(self, key: TaskKey, version: int) -> Head | None:
        """Returns the head if it is in memory, else None."""
        return self._heads.get(key, version)

    def load(self, key: TaskKey, version: int) -> Head:
        """Returns the head, read from the store if need be. Blocks while it is read.

        Raises:
            TaskNotFound, VersionNotFound: there is no such version.
            StorageFailed: the store cannot be read.
        """
        return self._heads.load(key, version, lambda: self._store.tasks.head(key, version))

    def load_many(self, tenant: str, wanted: Sequence[TaskVersion]) -> LoadedMany:
        """Returns the heads of these tasks and versions. Blocks while it reads those not in memory, in a few statements.

        Raises:
            StorageFailed: the store cannot be read.
        """
        key = hashkey(tenant, *wanted)
        with self._lock:
            known, drops = self._many.get(key), self._drops
        if known is not None:
            for stack in known.stacks:
                stack.gather()  # A second request suggests that more will follow.
            return known
        found = self._heads.load_many(tenant, wanted, lambda missing: self._store.tasks.heads(tenant, missing))
        heads = [found.get(name) for name in wanted]
        loaded = LoadedMany(stack_heads(heads), [position for position, head in enumerate(heads) if head is None])
        with self._lock:
            # After a drop, some of the heads may be of dropped versions.
            if drops == self._drops and not loaded.missing and loaded.nbytes <= _MAX_MANY_BYTES:
                self._many[key] = loaded
        return loaded

    def keep(self, key: TaskKey, version: int, head: Head) -> None:
        """Keeps a head that was just fitted, for the next query."""
        self._heads.keep(key, version, head)

    def clear(self) -> None:
        """Drops all heads."""
        self._heads.clear()
        with self._lock:
            self._drops += 1
            self._many.clear()

    def drop(self, key: TaskKey, versions: Iterable[int]) -> None:
        """Drops the heads of versions that have been removed. Requests that hold such a head may finish with it."""
        self._heads.drop(key, versions)
        with self._lock:
            self._drops += 1
            self._many.clear()
