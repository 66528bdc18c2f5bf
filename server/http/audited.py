"""The audit of requests: each is told by its route's declaration, its caller and its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.types import Scope as RequestScope

from server.audit import Act, AuditKind, acting
from server.context import request_id
from server.http.callers import Caller
from server.store.audit_writer import AuditWriter

_REFUSALS = frozenset({"unauthenticated", "forbidden"})


@dataclass(frozen=True, slots=True)
class Audited:
    """The declaration of what the audit tells of a route's requests.

    Attributes:
        action: what they do, such as `task.create`.
        object: the path of what they do it to, with the names of its parts; None for the whole server or tenant. A declaration
            without it means the route's own path.
    """

    action: str
    kind: AuditKind
    object: str | None = None

    def __call__(self) -> None:
        """Marks a route. It is never called."""


def audited(action: str, kind: AuditKind = "change", object: str | None = None) -> list[Any]:  # noqa: A002 -- as it is told
    """Returns what a route adds to its `dependencies`: how the audit tells of it."""
    return [Depends(Audited(action, kind, object))]


def audited_of(route: APIRoute) -> Audited:
    """Returns what the audit tells of a route. Undeclared, its name is method and path, and GET tells refusals alone."""
    end = route.path.rfind("}") + 1
    object_ = route.path[:end].removeprefix("/v1/") or None
    for each in route.dependencies:
        if isinstance(each.dependency, Audited):
            return Audited(each.dependency.action, each.dependency.kind, each.dependency.object or object_)
    method = min(route.methods or ())
    return Audited(f"{method} {route.path}", "none" if method == "GET" else "change", object_)


class AuditTrail:
    """Tells of requests, from the moment at which their caller is known."""

    def __init__(self, writer: AuditWriter) -> None:
        self._writer = writer

    def begin(self, scope: RequestScope, told: Audited, caller: Caller, parts: Mapping[str, str]) -> None:
        """Notes what a request is about to do."""
        act = None
        if told.kind != "none":
            object_ = told.object and told.object.format_map(parts)
            act = scope["act"] = Act(caller.tenant, caller.key, request_id.get(), told.kind, ((told.action, object_),))
        acting.set(act)

    def end(self, scope: RequestScope) -> None:
        """Tells of a request that was answered, unless its rows in the database tell all of it."""
        failure: str | None = scope.get("failure")
        act: Act | None = scope.get("act")
        if act is None:
            if failure in _REFUSALS:
                self._refused(scope, failure)
        elif act.kind == "use":
            ((action, object_),) = act.deeds
            self._writer.count(act.tenant, act.key, action, None if failure else object_, failure or "done")
        else:
            result = failure or ("unchanged" if act.kind == "change" and not act.recorded else "done")
            if not act.recorded or result != act.outcome:
                for row in act.rows(result, with_objects=act.recorded or not failure):
                    self._writer.tell(row)

    def _refused(self, scope: RequestScope, failure: str) -> None:
        caller: Caller | None = scope.get("caller")
        told: Audited = scope["route"].audited
        tenant, key, action = (caller.tenant, caller.key, told.action) if caller else (None, None, "sign_in")
        for row in Act(tenant, key, request_id.get(), "access", ((action, None),)).rows(failure):
            self._writer.tell(row)
