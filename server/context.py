"""The id of the request that is being answered and the tenant that it is for, available anywhere in the code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from server.keys import DEFAULT_TENANT
from server.tracing import Traced, current_span

request_id: ContextVar[str] = ContextVar("request_id", default="-")
tenant_id: ContextVar[str] = ContextVar("tenant_id", default=DEFAULT_TENANT)


@contextmanager
def on_behalf_of(request: str, span: Traced | None) -> Iterator[None]:
    """Gives log lines of the block this request's id and trace. It is for threads that work for several requests."""
    tokens = request_id.set(request), current_span.set(span)
    try:
        yield
    finally:
        request_id.reset(tokens[0])
        current_span.reset(tokens[1])
