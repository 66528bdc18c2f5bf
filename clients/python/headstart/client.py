"""The client: a method for everything the API does with tasks, and an object each for backbones, captures and refreshes."""

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from headstart.calls.backbones import AsyncBackbones, Backbones
from headstart.calls.captures import AsyncCaptures, Captures
from headstart.calls.examples import ExampleCalls
from headstart.calls.predictions import PredictionCalls
from headstart.calls.refreshes import AsyncRefreshes, Refreshes
from headstart.calls.server import ServerCalls
from headstart.calls.tasks import TaskCalls
from headstart.http.connecting import Address, Transport
from headstart.http.methods import Awaiting, Blocking

DEFAULT_URL = "http://127.0.0.1:8000"


class ClientCalls(ExampleCalls, PredictionCalls, TaskCalls, ServerCalls):
    """Every call of a client itself."""


class Client(ClientCalls, Blocking):
    """A client of one Headstart server; threads may share it.

    A prediction of more images than the server takes at once is sent as several requests. The first prediction of several images
    asks `/v1/limits` for that. A request that fails because a connection broke, the server was busy or a quota of the minute was
    used up is tried again a few times, and is never carried out twice.

    Args:
        url: the server's address; by default the environment's `HEADSTART_URL`, or this machine's port 8000.
        token: the key of a server that asks for one; by default the environment's `HEADSTART_TOKEN`. It is sent as
            `Authorization: Bearer …`.
        headers: sent with every request.
        timeout: seconds that the server may be silent within one request.
        waiting: called with the seconds whenever a request is about to wait for a quota.

    Attributes:
        backbones: lists, opens and closes backbones, and sets the default.
        captures: lists captured predictions and decides about them.
        refreshes: moves tasks onto another bundle.

    Raises:
        ValueError: the address, the token or a header is malformed.
        Unauthenticated, Forbidden: from every method, if the server has keys and the token does not allow the call.
        QuotaExceeded, StoredQuotaExceeded: from every method, if the tenant or the key has a quota that the call goes beyond.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        self.url = server_url(url)
        exchange, driver = Address(self.url, token, headers, timeout, waiting).blocking()
        super().__init__(exchange, driver)
        self.backbones = Backbones(exchange, driver)
        self.captures = Captures(exchange, driver)
        self.refreshes = Refreshes(exchange, driver)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._driver.http.close()


class AsyncClient(ClientCalls, Awaiting):
    """A client of one Headstart server for asyncio. Any number of tasks may share it.

    It has the methods of `Client`, to be awaited: `task = await client.task(id)`. Those that list are iterated over with
    `async for task in client.tasks()`. Files are read, and images made smaller, on threads.

    A call that is cancelled stops there. A change that the server had received by then may have been made.

    Args:
        url, token, headers, timeout, waiting: as of `Client`.
        transport: carries the requests in place of the network. A refused call is then not tried again, and no token comes from
            the environment.

    Attributes:
        backbones, captures, refreshes: as of `Client`, to be awaited.

    Raises:
        ValueError, Unauthenticated, Forbidden, QuotaExceeded, StoredQuotaExceeded: as from `Client`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        waiting: Callable[[float], None] | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.url = server_url(url)
        exchange, driver = Address(self.url, token, headers, timeout, waiting).awaiting(transport)
        super().__init__(exchange, driver)
        self.backbones = AsyncBackbones(exchange, driver)
        self.captures = AsyncCaptures(exchange, driver)
        self.refreshes = AsyncRefreshes(exchange, driver)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._driver.http.aclose()


def server_url(url: str | None) -> str:
    """The address of the server that a client asks."""
    return (url or os.environ.get("HEADSTART_URL") or DEFAULT_URL).strip().rstrip("/")
