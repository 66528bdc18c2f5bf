"""The tools of `/mcp` (Model Context Protocol, streamable HTTP without sessions), which agents call.

Each call of a tool is a request to this application, in this process: the same key, quota, limits, audit and errors. The tools
are those of the Python client (decision 0140). Any process answers any request, since nothing of a caller is kept between two.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.context import request_id
from server.http.inside import Inside

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_NEEDED = ("headstart", "mcp")


class Tools:
    """The answers of `/mcp`.

    The packages are imported at the first request: that takes a second and 25 MB, which most servers never need.

    Args:
        inside: makes the client of the application; called at the first request.
    """

    def __init__(self, inside: Callable[[], Inside]) -> None:
        self._inside = inside
        self._opening = asyncio.Lock()
        self._manager: StreamableHTTPSessionManager | None = None
        self._running: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def open(self) -> Response:
        """Returns what answers a request."""
        async with self._opening:
            if self._manager is None:
                self._manager = await asyncio.to_thread(self._made)
                ready = asyncio.Event()
                self._running = asyncio.create_task(self._run(self._manager, ready))
                await ready.wait()
        return _Answer(self._manager.handle_request)

    async def close(self) -> None:
        """Ends what still runs, as the application stops."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def _run(self, manager: "StreamableHTTPSessionManager", ready: asyncio.Event) -> None:
        """Runs the manager in one task, as its cancel scopes want it."""
        async with manager.run():
            ready.set()
            await self._stopping.wait()

    def _made(self) -> "StreamableHTTPSessionManager":
        from mcp.server.transport_security import TransportSecuritySettings

        from headstart import AsyncClient
        from headstart.mcp.images import Base64Image
        from headstart.mcp.tools import tool_server
        from server.http.carried import URL, Carried, asked_by

        for library in ("httpx", "mcp"):  # Requests are logged by `server.http.access`.
            logging.getLogger(library).setLevel(logging.WARNING)
        client = AsyncClient(URL, transport=Carried(self._inside()))

        @asynccontextmanager
        async def in_the_callers_name(context: Any) -> AsyncIterator[AsyncClient]:
            with asked_by(request_id.get(), (context.headers or {}).get("Authorization")):
                yield client

        server = tool_server(Base64Image, in_the_callers_name, shrink=False)
        server.streamable_http_app(
            json_response=True,
            stateless_http=True,
            # The body is limited, and host and origin are checked, by `server.http.front`.
            max_request_body_size=sys.maxsize,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        return server.session_manager


class _Answer(Response):
    """A response that an ASGI application writes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def installed() -> bool:
    """Returns whether the packages of the tools are here."""
    return all(find_spec(name) is not None for name in _NEEDED)
