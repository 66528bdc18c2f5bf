"""The id of the request that is being answered and the tenant that it is for, available anywhere in the code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from server.keys import DEFAULT_TENANT
from server.tracing import Traced, current_span

request_id: ContextVar[str] = ContextVar("request_id", default="-")
tenant_id: ContextVar[str] = ContextVar("tenant_id", default=DEFAULT_TENANT)


@dataclass(slots=True)
class Changed:
    """A request's changes of a database that several servers share.

    Attributes:
        at_least: the id of the last transaction. Whoever reads at least that sees them all. 0 if there is none.
    """

    at_least: int = 0


changed: ContextVar[Changed | None] = ContextVar("changed", default=None)
"""The changes of the request that is being answered. Threads that work for it share the object."""


def note_change(transaction: int) -> None:
    """Notes that the request that is being answered has changed something in this transaction."""
    if (noted := changed.get()) is not None:
        noted.at_least = max(noted.at_least, transaction)


@contextmanager
def on_behalf_of(request: str, span: Traced | None) -> Iterator[None]:
    """Gives log lines of the block this request's id and trace. It is for threads that work for several requests."""
    tokens = request_id.set(request), current_span.set(span)
    try:
        yield
    finally:
        request_id.reset(tokens[0])
        current_span.reset(tokens[1])
