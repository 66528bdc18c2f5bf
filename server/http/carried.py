"""Requests of httpx that this application answers, in its own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx

from server.http.at_least import AT_LEAST
from server.http.inside import Asked, Headers, Inside

URL = "http://localhost"
"""Where such requests go. It never leaves the process."""

# `Inside` writes the first two anew. The third is what any caller of a shared client changed, and must not hold up the others.
_LEFT_OUT = frozenset({b"host", b"content-length", AT_LEAST})

_caller: ContextVar[Headers] = ContextVar("caller")


@contextmanager
def asked_by(request: str, authorization: str | None) -> Iterator[None]:
    """Gives the requests of the block this id, and the key of whoever asks for them."""
    key = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    token = _caller.set([(b"x-request-id", request.encode()), *key])
    try:
        yield
    finally:
        _caller.reset(token)


class Carried(httpx.AsyncBaseTransport):
    """Carries requests to the application, in the name of `asked_by`, and whole answers back."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Returns the answer to a request.

        If the caller is cancelled, the application sees a client that has left.

        Raises:
            LookupError: nobody asks for it. Then it has no key.
        """
        headers = [(name, value) for given, value in request.headers.raw if (name := given.lower()) not in _LEFT_OUT]
        asked = Asked(request.method, request.url.path, headers, await request.aread(), request.url.query)
        answer = await self._inside.ask(asked, _caller.get())
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)
