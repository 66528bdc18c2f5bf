"""The id of the request that is being answered, available anywhere in the code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


@contextmanager
def on_behalf_of(request: str) -> Iterator[None]:
    """Gives log lines of the block this request's id. It is for threads that work for several requests."""
    token = request_id.set(request)
    try:
        yield
    finally:
        request_id.reset(token)
