"""The tools over stdin and stdout, for an agent that starts them on its user's machine. They may read its user's files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from headstart.client import AsyncClient
from headstart.mcp.images import LocalImage
from headstart.mcp.tools import tool_server


def serve(url: str, token: str | None) -> None:
    """Serves until stdin ends. Nothing else may write to stdout meanwhile."""
    anyio.run(_serve, url, token)


async def _serve(url: str, token: str | None) -> None:
    async with AsyncClient(url, token=token) as client:

        @asynccontextmanager
        async def shared(_context: Any) -> AsyncIterator[AsyncClient]:
            yield client

        await tool_server(LocalImage, shared, shrink=True).run_stdio_async()
