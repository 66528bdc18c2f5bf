"""The id of the request being answered, wherever in the code we are."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


@contextmanager
def on_behalf_of(request: str) -> Iterator[None]:
    """Log lines of the block bear this request's id, on a thread that works for several requests."""
    token = request_id.set(request)
    try:
        yield
    finally:
        request_id.reset(token)
