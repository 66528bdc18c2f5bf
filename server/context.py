"""The id of the request that is being answered and the tenant that it is for, available anywhere in the code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from server.keys import DEFAULT_TENANT

request_id: ContextVar[str] = ContextVar("request_id", default="-")
tenant_id: ContextVar[str] = ContextVar("tenant_id", default=DEFAULT_TENANT)


@contextmanager
def on_behalf_of(request: str) -> Iterator[None]:
    """Gives log lines of the block this request's id. It is for threads that work for several requests."""
    token = request_id.set(request)
    try:
        yield
    finally:
        request_id.reset(token)
