"""Which tasks there are and which version of each is active, in memory. The least used leave first."""

import threading
from collections.abc import Iterable, Sequence

from cachetools import LRUCache

from server.store.records import Active, TaskKey

_MAX_TASKS = 100_000


class ActiveVersions:
    """What was last read of the database about each task, until the task changes. Thread-safe.

    This holds what is true only while nobody writes past this process, which the embedded database's lock sees to.
    """

    def __init__(self) -> None:
        self._known: LRUCache[tuple[str, str], Active] = LRUCache(_MAX_TASKS)
        self._ids: LRUCache[str, Sequence[str]] = LRUCache(_MAX_TASKS, getsizeof=len)
        self._lock = threading.Lock()
        self._changes = 0

    def known(self, key: TaskKey) -> Active | None:
        """The active version, if it is in memory."""
        with self._lock:
            return self._known.get(key)

    def known_among(self, tenant: str, tasks: Iterable[str]) -> dict[str, Active]:
        """The active versions of those tasks of which it is in memory."""
        with self._lock:
            return {task: active for task in tasks if (active := self._known.get((tenant, task))) is not None}

    def changes(self) -> int:
        """How many tasks have been forgotten so far; to be asked before reading what `keep` is to be given."""
        return self._changes

    def keep(self, key: TaskKey, active: Active, changes: int) -> None:
        """Keeps what was read, unless a change came in between: it might be from before that."""
        with self._lock:
            if changes == self._changes:
                self._known[key] = active

    def known_ids(self, tenant: str) -> Sequence[str] | None:
        """The ids of all tasks of the tenant, if they are in memory."""
        with self._lock:
            return self._ids.get(tenant)

    def keep_ids(self, tenant: str, ids: Sequence[str], changes: int) -> None:
        """Keeps what was read, as `keep` does."""
        with self._lock:
            if changes == self._changes and len(ids) <= _MAX_TASKS:
                self._ids[tenant] = ids

    def forget(self, key: TaskKey) -> None:
        """To be told after every commit that may have made, changed or removed the task, before anybody hears of it."""
        with self._lock:
            self._changes += 1
            self._known.pop(key, None)
            self._ids.pop(key.tenant, None)
