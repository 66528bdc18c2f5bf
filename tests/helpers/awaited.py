"""One scenario for both clients of the SDK: a blocking client looks like an asynchronous one."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Literal, get_origin

from headstart import AsyncClient, Client

Flavour = Literal["Client", "AsyncClient"]
FLAVOURS: tuple[Flavour, ...] = ("Client", "AsyncClient")

Scenario = Callable[[Any], Coroutine[Any, Any, None]]
"""A coroutine function of a client whose calls are awaited."""


class Awaited:
    """A blocking client whose calls are awaited, and whose lists are asynchronous iterators."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return Awaited(found)
        lists = get_origin(inspect.signature(found).return_annotation) is Iterator
        return partial(_items if lists else _reply, found)


async def _reply(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return call(*args, **kwargs)


async def _items(call: Callable[..., Iterator[Any]], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
    for item in call(*args, **kwargs):
        yield item


def play(scenario: Scenario, flavour: Flavour, url: str) -> None:
    """Runs a scenario with a client of a server."""

    async def of_async() -> None:
        async with AsyncClient(url) as client:
            await scenario(client)

    async def of_blocking() -> None:
        with Client(url) as client:
            await scenario(Awaited(client))

    asyncio.run(of_async() if flavour == "AsyncClient" else of_blocking())
