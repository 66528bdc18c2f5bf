"""Requests of httpx that this application answers, in its own process."""

import httpx

from server.http.inside import Asked, Inside

URL = "http://localhost"
"""Where such requests go. It never leaves the process."""

_WRITTEN_ANEW = frozenset({b"host", b"content-length"})


class Carried(httpx.AsyncBaseTransport):
    """Carries requests to the application, and whole answers back."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Returns the answer to a request.

        If the caller is cancelled, the application sees a client that has left.
        """
        headers = [(name.lower(), value) for name, value in request.headers.raw if name.lower() not in _WRITTEN_ANEW]
        asked = Asked(request.method, request.url.path, headers, await request.aread(), request.url.query)
        answer = await self._inside.ask(asked, ())
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)
