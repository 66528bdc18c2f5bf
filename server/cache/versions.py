"""A cache by task version. Versions are immutable, so no value goes stale.

The least recently used values leave first. Values of removed versions leave at once.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from cachetools import LRUCache

from server.store.records import TaskKey

_GONE = 10_000  # removed versions that are remembered, of the latest

_Value = TypeVar("_Value")

TaskVersion = tuple[str, int]
_Key = tuple[str, str, int]  # flat, since a request for many tasks makes a thousand of them


class VersionCache(Generic[_Value]):
    """Values by task version, within a bound on memory. Thread-safe.

    Args:
        max_bytes: the bound on all values together, in bytes.
        size: returns the bytes of one value.
        tell_count: is told how many values there are whenever that may have changed.
    """

    def __init__(
        self, max_bytes: int, size: Callable[[_Value], int], tell_count: Callable[[int], None] = lambda _count: None
    ) -> None:
        self._values: LRUCache[_Key, _Value] = LRUCache(max_bytes, getsizeof=size)
        self._tell_count = tell_count
        self._lock = threading.Lock()
        self._drops = 0
        self._gone: LRUCache[_Key, bool] = LRUCache(_GONE)  # Who made a version may keep it after another server removed it.

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: TaskKey, version: int) -> _Value | None:
        """Returns the value if it is in memory, else None."""
        with self._lock:
            return self._values.get((*key, version))

    def load(self, key: TaskKey, version: int, read: Callable[[], _Value]) -> _Value:
        """Returns the value, from `read` if it is not in memory. Raises the errors of `read`."""
        value = self.get(key, version)
        if value is None:
            drops = self._drops
            value = read()
            self._keep_unless_dropped({(*key, version): value}, drops)
        return value

    def load_many(
        self, tenant: str, wanted: Sequence[TaskVersion], read: Callable[[Sequence[TaskVersion]], Mapping[TaskVersion, _Value]]
    ) -> dict[TaskVersion, _Value]:
        """Returns the values that are in memory, and those that `read` finds of the others. Raises the errors of `read`."""
        with self._lock:
            found = {name: value for name in wanted if (value := self._values.get((tenant, *name))) is not None}
            drops = self._drops
        if missing := [name for name in wanted if name not in found]:
            values = read(missing)
            self._keep_unless_dropped({(tenant, *name): value for name, value in values.items()}, drops)
            found |= values
        return found

    def keep(self, key: TaskKey, version: int, value: _Value) -> None:
        """Keeps a value for the next caller."""
        with self._lock:
            self._put((*key, version), value)

    def drop(self, key: TaskKey, versions: Iterable[int]) -> None:
        """Drops the values of versions that have been removed. Requests that hold such a value may finish with it."""
        with self._lock:
            self._drops += 1
            for version in versions:
                self._values.pop((*key, version), None)
                self._gone[(*key, version)] = True
            self._tell_count(len(self._values))

    def clear(self) -> None:
        """Drops all values, since some may be of removed versions."""
        with self._lock:
            self._drops += 1
            self._values.clear()
            self._tell_count(0)

    def _keep_unless_dropped(self, values: Mapping[_Key, _Value], drops: int) -> None:
        with self._lock:
            if drops == self._drops:  # After a drop, they may be of dropped versions.
                for key, value in values.items():
                    self._put(key, value)

    def _put(self, key: _Key, value: _Value) -> None:
        if self._values.getsizeof(value) <= self._values.maxsize and key not in self._gone:
            self._values[key] = value
            self._tell_count(len(self._values))
