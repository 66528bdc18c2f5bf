"""A cache of the tasks and their active versions, in memory. The least recently used leave first."""

import threading
from collections.abc import Iterable, Sequence

from cachetools import LRUCache

from server.changes import Changes
from server.store.records import Active, TaskKey

_MAX_TASKS = 100_000

Stamp = tuple[int, int]
"""Where changes are counted, and how many had been when a reading began."""


class ActiveVersions:
    """The latest reading of each task from the database, true until a change of the task is counted. Thread-safe.

    Args:
        changes: the counters of the process that writes, be it this one or another.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._counts = changes.counts
        # Slot, count and value stand side by side, since a request for many tasks looks at a thousand of them.
        self._known: LRUCache[tuple[str, str], tuple[int, int, Active]] = LRUCache(_MAX_TASKS)
        self._ids: LRUCache[str, tuple[int, int, Sequence[str]]] = LRUCache(_MAX_TASKS, getsizeof=lambda kept: len(kept[2]))
        self._lock = threading.Lock()

    def known(self, key: TaskKey) -> Active | None:
        """Returns the active version if it is in memory and still true, else None."""
        with self._lock:
            kept = self._known.get(key)
        return kept[2] if kept is not None and self._counts[kept[0]] == kept[1] and self._changes.are_heard else None

    def known_among(self, tenant: str, tasks: Iterable[str]) -> dict[str, Active]:
        """Returns, by id, the active versions of those tasks that `known` would return."""
        counts = self._counts
        if not self._changes.are_heard:
            return {}
        with self._lock:
            found = [(task, kept) for task in tasks if (kept := self._known.get((tenant, task))) is not None]
        return {task: active for task, (slot, count, active) in found if counts[slot] == count}

    def stamp(self, tenant: str, task: str = "") -> Stamp:
        """Returns the stamp for a reading of a task, or of a tenant's ids. Ask for it before the reading."""
        slot = self._changes.slot_of(tenant, task)
        return slot, self._counts[slot]

    def keep(self, key: TaskKey, active: Active, stamp: Stamp) -> None:
        """Keeps a reading. If the task has changed since the stamp, nobody will be given it."""
        with self._lock:
            self._known[key] = (*stamp, active)

    def known_ids(self, tenant: str) -> Sequence[str] | None:
        """Returns the ids of all tasks of the tenant if they are in memory and still true, else None."""
        with self._lock:
            kept = self._ids.get(tenant)
        return kept[2] if kept is not None and self._counts[kept[0]] == kept[1] and self._changes.are_heard else None

    def keep_ids(self, tenant: str, ids: Sequence[str], stamp: Stamp) -> None:
        """Keeps the ids that were read, as `keep` does."""
        if len(ids) <= _MAX_TASKS:
            with self._lock:
                self._ids[tenant] = (*stamp, ids)

    def doubt(self, key: TaskKey) -> None:
        """Forgets what this process has in memory of a task."""
        with self._lock:
            self._known.pop(key, None)

    def forget(self, key: TaskKey) -> None:
        """Counts a change of the task and of its tenant's ids, and forgets both.

        Call it after every commit that may have made, changed or removed the task, before anybody hears of the change.
        """
        self._changes.count(self._changes.slot_of(*key), self._changes.slot_of(key.tenant))
        with self._lock:
            self._known.pop(key, None)
            self._ids.pop(key.tenant, None)
