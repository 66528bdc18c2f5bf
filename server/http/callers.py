"""Callers: whose request it is, and what they may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Security, params
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from server.errors import Forbidden, TaskNotFound
from server.http.dependencies import GIVEN
from server.keys import DEFAULT_TENANT, Scope
from server.store.records import TaskKey

Need = Literal["open", "predict", "write", "manage", "operate"]
"""What a route asks of its caller, each more than those before it. `open` is for everybody. `operate` is about the whole server,
and for `manage` keys of the tenant `default`."""

_RANKS: dict[str | None, int] = {None: 0, "open": 0, "predict": 1, "write": 2, "manage": 3, "operate": 4}


@dataclass(frozen=True, slots=True)
class Caller:
    """The maker of a request.

    Attributes:
        tenant: whose tasks these are; empty for a stranger.
        scope: None for a stranger, or for a token whose claims name none.
        task: the only task that the caller's key is for; None for all of the tenant.
        key: the id of the key, or `oidc:` and the subject of the token; None on a server without keys.
        expires_at: when the key or the token ends; None for never.
    """

    tenant: str
    scope: Scope | None
    task: str | None = None
    key: str | None = None
    expires_at: datetime | None = None

    @property
    def operates(self) -> bool:
        """True if the caller may hear of the whole server."""
        return self.tenant == DEFAULT_TENANT and self.scope == "manage"

    def check(self, need: Need) -> None:
        """Raises Forbidden if the caller may not do what needs that."""
        if (_RANKS["operate"] if self.operates else _RANKS[self.scope]) < _RANKS[need]:
            needed = f"the scope {need}" if need != "operate" else f"the scope manage and is of the tenant {DEFAULT_TENANT}"
            own = f"the scope {self.scope}" if self.scope else "no scope"
            raise Forbidden(f"this takes a key that has {needed}; yours has {own}")

    def check_task(self, task: str) -> None:
        """Raises TaskNotFound if the caller's key is for another task."""
        if self.task not in {None, task}:
            raise TaskNotFound(task)

    def check_unbound(self) -> None:
        """Raises Forbidden if the caller's key is for one task."""
        if self.task is not None:
            raise Forbidden(f"this key is for task {self.task} alone; this takes a key of the whole tenant")

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

STRANGER = Caller("", None)
"""A caller without a valid key, on a route that is open, of a server with keys."""

_BEARER = HTTPBearer(scheme_name="key", description="an API key, `hs_…`, on a server that has keys")


def _open() -> None:
    """Marks a route that is for everybody."""


def needs(need: Need) -> list[Any]:
    """Returns the `dependencies` of a route: what it asks of its caller, which the OpenAPI document tells as well."""
    return [Depends(_open)] if need == "open" else [Security(_BEARER, scopes=[need])]


def need_of(route: APIRoute) -> Need:
    """Returns what a route asks of its caller. Raises ValueError if it does not say."""
    for each in route.dependencies:
        if each.dependency is _open:
            return "open"
        if isinstance(each, params.Security) and each.scopes:
            need: Need = each.scopes[0]  # type: ignore[assignment]
            return need
    raise ValueError(f"{route.path} does not say what it needs of its caller")
