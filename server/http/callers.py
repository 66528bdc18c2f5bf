"""Callers: whose request it is, and what they may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from server.errors import TaskNotFound
from server.http.dependencies import GIVEN
from server.keys import DEFAULT_TENANT, Scope
from server.store.records import TaskKey


@dataclass(frozen=True, slots=True)
class Caller:
    """The maker of a request.

    Attributes:
        tenant: whose tasks these are; empty for a stranger.
        scope: None for a stranger.
        task: the only task that the caller's key is for; None for all of the tenant.
        key: the id of the key; None on a server without keys.
    """

    tenant: str
    scope: Scope | None
    task: str | None = None
    key: str | None = None

    @property
    def operates(self) -> bool:
        """True if the caller may hear of the whole server."""
        return self.tenant == DEFAULT_TENANT and self.scope == "manage"

    def check_task(self, task: str) -> None:
        """Raises TaskNotFound if the caller's key is for another task."""
        if self.task not in {None, task}:
            raise TaskNotFound(task)

    def within(self, tasks: "Literal['all'] | Sequence[str]") -> "Literal['all'] | Sequence[str]":
        """Returns the tasks that are asked for, where `all` may mean the only one. Raises TaskNotFound for one of the others."""
        if self.task is None:
            return tasks
        if tasks == "all":
            return [self.task]
        for task in tasks:
            self.check_task(task)
        return tasks

    def task_key(self, task: str) -> TaskKey:
        """Returns where the store has a task of the caller's."""
        return TaskKey(self.tenant, task)


Calling = Annotated[Caller, GIVEN]

OPERATOR = Caller(DEFAULT_TENANT, "manage")
"""The caller of every request to a server without keys."""
