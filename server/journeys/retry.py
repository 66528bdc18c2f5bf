"""Changes of a task that begin again where another change came between."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.errors import Conflict, ExampleNotFound, VersionNotFound
from server.store.records import VersionConflict

KEEPS_CHANGING = "other requests keep changing this task; try again"
_ATTEMPTS = 10

_Result = TypeVar("_Result")

CHANGED: tuple[type[Exception], ...] = (VersionConflict, VersionNotFound)
"""Another version is active than the one that was read, or the one that was read has been removed."""

CHANGED_OR_SHRUNK = (*CHANGED, ExampleNotFound)
"""The same, or one of the examples that were read has been removed."""


async def retry_on_conflict(
    change: Callable[[], Awaitable[_Result]], conflicts: tuple[type[Exception], ...] = CHANGED
) -> _Result:
    """Returns what `change` returns. It reads the task, and is called again if it raises one of the conflicts.

    Raises:
        Conflict: others changed the task each time.
    """
    for _ in range(_ATTEMPTS):
        try:
            return await change()
        except conflicts:
            continue
    raise Conflict(KEEPS_CHANGING)
