"""Things in memory by task version. Versions are immutable, so none goes stale; the least used leave first, and those of removed
versions at once."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from cachetools import LRUCache

from server.store.records import TaskKey

_Value = TypeVar("_Value")

TaskVersion = tuple[str, int]
_Key = tuple[str, str, int]  # flat, since a request for many tasks makes a thousand


class VersionCache(Generic[_Value]):
    """Within a bound on memory. Thread-safe.

    Args:
        max_bytes: of all values together.
        size: bytes of one.
    """

    def __init__(self, max_bytes: int, size: Callable[[_Value], int]) -> None:
        self._values: LRUCache[_Key, _Value] = LRUCache(max_bytes, getsizeof=size)
        self._lock = threading.Lock()
        self._drops = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: TaskKey, version: int) -> _Value | None:
        """The value, if it is in memory."""
        with self._lock:
            return self._values.get((*key, version))

    def load(self, key: TaskKey, version: int, read: Callable[[], _Value]) -> _Value:
        """The value, from `read` if need be; raises what that raises."""
        value = self.get(key, version)
        if value is None:
            drops = self._drops
            value = read()
            self._keep_unless_dropped({(*key, version): value}, drops)
        return value

    def load_many(
        self, tenant: str, wanted: Sequence[TaskVersion], read: Callable[[Sequence[TaskVersion]], Mapping[TaskVersion, _Value]]
    ) -> dict[TaskVersion, _Value]:
        """The values of those that are in memory, or that `read` finds among the others; raises what that raises."""
        with self._lock:
            found = {name: value for name in wanted if (value := self._values.get((tenant, *name))) is not None}
            drops = self._drops
        if missing := [name for name in wanted if name not in found]:
            values = read(missing)
            self._keep_unless_dropped({(tenant, *name): value for name, value in values.items()}, drops)
            found |= values
        return found

    def keep(self, key: TaskKey, version: int, value: _Value) -> None:
        """Puts a value where the next one to ask will find it."""
        with self._lock:
            self._put((*key, version), value)

    def drop(self, key: TaskKey, versions: Iterable[int]) -> None:
        """To be told which versions have been removed. Requests that hold one of their values may finish with it."""
        with self._lock:
            self._drops += 1
            for version in versions:
                self._values.pop((*key, version), None)

    def _keep_unless_dropped(self, values: Mapping[_Key, _Value], drops: int) -> None:
        with self._lock:
            if drops == self._drops:  # Otherwise they may be among those dropped meanwhile.
                for key, value in values.items():
                    self._put(key, value)

    def _put(self, key: _Key, value: _Value) -> None:
        if self._values.getsizeof(value) <= self._values.maxsize:
            self._values[key] = value
