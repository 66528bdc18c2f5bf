"""A cache of the tasks and their active versions, in memory. The least recently used leave first."""

import threading
from collections.abc import Iterable, Sequence

from cachetools import LRUCache

from server.store.records import Active, TaskKey

_MAX_TASKS = 100_000


class ActiveVersions:
    """The latest reading of each task from the database, kept until the task changes. Thread-safe.

    The cache is right only while no other process writes. The lock on the embedded database makes sure of that.
    """

    def __init__(self) -> None:
        self._known: LRUCache[tuple[str, str], Active] = LRUCache(_MAX_TASKS)
        self._ids: LRUCache[str, Sequence[str]] = LRUCache(_MAX_TASKS, getsizeof=len)
        self._lock = threading.Lock()
        self._changes = 0

    def known(self, key: TaskKey) -> Active | None:
        """Returns the active version if it is in memory, else None."""
        with self._lock:
            return self._known.get(key)

    def known_among(self, tenant: str, tasks: Iterable[str]) -> dict[str, Active]:
        """Returns, by id, the active versions of those tasks that are in memory."""
        with self._lock:
            return {task: active for task in tasks if (active := self._known.get((tenant, task))) is not None}

    def changes(self) -> int:
        """Returns the number of calls of `forget` so far. Ask for it before the reading that `keep` is given."""
        return self._changes

    def keep(self, key: TaskKey, active: Active, changes: int) -> None:
        """Keeps a reading, unless a task changed meanwhile: the reading might be older than the change."""
        with self._lock:
            if changes == self._changes:
                self._known[key] = active

    def known_ids(self, tenant: str) -> Sequence[str] | None:
        """Returns the ids of all tasks of the tenant if they are in memory, else None."""
        with self._lock:
            return self._ids.get(tenant)

    def keep_ids(self, tenant: str, ids: Sequence[str], changes: int) -> None:
        """Keeps the ids that were read, under the same condition as `keep`."""
        with self._lock:
            if changes == self._changes and len(ids) <= _MAX_TASKS:
                self._ids[tenant] = ids

    def forget(self, key: TaskKey) -> None:
        """Forgets the task, and the ids of its tenant.

        Call it after every commit that may have made, changed or removed the task, before anybody hears of the change.
        """
        with self._lock:
            self._changes += 1
            self._known.pop(key, None)
            self._ids.pop(key.tenant, None)
