"""The rows of the audit: who did what to what, and with what result. They hold no labels, names or images."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

AuditKind = Literal["change", "access", "use", "none"]
"""How a route's requests are told. `change`: by a row in the transaction that changes the database. `access`: by a row soon after
the answer, of which repeats within a minute are counted. `use`: counted by the hour. `none`: refusals alone."""

# Those that are random. Any other comes from a client, and may be the name of a file or of somebody.
_RANDOM = re.compile(r"req_[0-9a-z]{26}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the audit.

    Attributes:
        tenant, key: of the caller. No tenant where it brought no valid key. No key on a server without keys, and of a command.
        object: the path of what was touched, below `/v1/`, such as `tasks/task_01…`; None if it may not exist.
        request: the id of the request, if it is a random one; None for a count, and of a command.
        result: `done`, `begun`, `unchanged`, or the code of the problem that was answered.
        count: how many requests it tells of.
    """

    time: datetime
    tenant: str | None
    key: str | None
    action: str
    object: str | None
    request: str | None
    result: str
    count: int = 1


@dataclass(slots=True)
class Act:
    """A request or a command that the audit tells of, and how far it is told.

    Attributes:
        tenant, key: of the caller, as in `AuditRow`.
        request: the id of the request; None for a command.
        deeds: pairs of an action and the path of its object, None if there is none.
        outcome: the result that its rows of the database tell.
        recorded: whether these rows are on disk.
    """

    tenant: str | None
    key: str | None
    request: str | None
    kind: AuditKind
    deeds: tuple[tuple[str, str | None], ...]
    outcome: str = "done"
    recorded: bool = False

    def rows(self, result: str, with_objects: bool = True) -> list[AuditRow]:
        """Returns its rows with this result, as of now.

        Args:
            with_objects: False if the objects may not exist: then their paths are any texts.
        """
        now = datetime.now(UTC)
        request = self.request if self.request is not None and _RANDOM.fullmatch(self.request) else None
        return [
            AuditRow(now, self.tenant, self.key, action, object_ if with_objects else None, request, result)
            for action, object_ in self.deeds
        ]


acting: ContextVar[Act | None] = ContextVar("acting", default=None)
"""The request or the command that is under way, if the audit tells of it."""


def doing(*deeds: tuple[str, str | None], tenant: str | None = None) -> None:
    """Says more exactly what is being done.

    Args:
        tenant: whose object it is; a command has no tenant of its own.
    """
    if act := acting.get():
        act.deeds = deeds
        act.tenant = act.tenant or tenant


def making(object_: str) -> None:
    """Names what is being made."""
    if act := acting.get():
        act.deeds = tuple((action, object_) for action, _ in act.deeds)


@contextmanager
def unaudited() -> Iterator[None]:
    """Keeps the audit from taking the transactions of the block for the change that is under way."""
    token = acting.set(None)
    try:
        yield
    finally:
        acting.reset(token)
