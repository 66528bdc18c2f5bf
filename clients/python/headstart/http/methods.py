"""Methods that are written once, as steps, and that a blocking client and an asynchronous one both have."""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from types import GenericAlias, MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_args, overload

from headstart.http.drivers import AsyncDriver, BlockingDriver
from headstart.http.exchange import Exchange, parse
from headstart.http.steps import Reply, Steps

Parameters = ParamSpec("Parameters")
Item = TypeVar("Item")


class Calls:
    """The base of classes whose methods are calls. A class that can be used is `Blocking` or `Awaiting` as well."""

    def __init__(self, exchange: Exchange, driver: BlockingDriver | AsyncDriver) -> None:
        self._exchange = exchange
        self._driver = driver

    def _ask(self, kind: Callable[[Mapping[str, Any]], Reply], method: str, path: str, **parts: Any) -> Steps[Reply]:
        """Steps to the reply to a request, made of its JSON by `kind`; `parts` as in `Exchange`."""
        return parse(kind, (yield from self._exchange.send(method, path, **parts)))

    def _content(self, path: str) -> Steps[bytes]:
        """Steps to the bytes of a reply that is no JSON."""
        response = yield from self._exchange.send("GET", path)
        return response.content


class Blocking(Calls):
    """Its calls return the reply."""

    _driver: BlockingDriver


class Awaiting(Calls):
    """Its calls are awaited, and its lists are iterated over with `async for`."""

    _driver: AsyncDriver


class _Method:
    """A method in both forms, of which a class gets its own."""

    _blocking: Callable[..., Any]
    _awaiting: Callable[..., Any]

    def _of(self, client: Calls | None, owner: type[Calls]) -> Callable[..., Any]:
        method = self._awaiting if issubclass(owner, Awaiting) else self._blocking
        return method if client is None else MethodType(method, client)


class call(_Method, Generic[Parameters, Reply]):
    """A method of `Calls` that returns the steps to its reply: a blocking method here, and a coroutine function there."""

    def __init__(self, steps: Callable[Concatenate[Any, Parameters], Steps[Reply]]) -> None:
        @wraps(steps)
        def blocking(self: Blocking, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Reply:
            return self._driver.run(steps(self, *args, **kwargs))

        @wraps(steps)
        async def awaiting(self: Awaiting, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Reply:
            return await self._driver.run(steps(self, *args, **kwargs))

        self._blocking, self._awaiting = blocking, awaiting
        *_, reply = get_args(inspect.signature(steps).return_annotation)
        _show(blocking, reply)
        _show(awaiting, reply)
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, client: None, owner: type[Calls]) -> Callable[..., Any]: ...
    @overload
    def __get__(self, client: Blocking, owner: type[Calls]) -> Callable[Parameters, Reply]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type[Calls]) -> Callable[Parameters, Coroutine[Any, Any, Reply]]: ...
    def __get__(self, client: Calls | None, owner: type[Calls]) -> Callable[..., Any]:
        return self._of(client, owner)


@dataclass(frozen=True, slots=True)
class Pages(Generic[Item]):
    """One of the API's lists, which comes page by page.

    Attributes:
        key: of the items in a page.
        kind: makes an item of its JSON.
    """

    path: str
    key: str
    kind: Callable[[Mapping[str, Any]], Item]
    params: Mapping[str, bool] = field(default_factory=dict)

    def page(self, exchange: Exchange, cursor: str | None) -> Steps[tuple[list[Item], str | None]]:
        """Steps to the items of a page, and the cursor of the next one; None if there is none.

        Args:
            cursor: None for the first page.
        """
        params = {**self.params, **({"cursor": cursor} if cursor else {})}
        response = yield from exchange.send("GET", self.path, params=params)
        return parse(lambda body: ([self.kind(item) for item in body[self.key]], body["next_cursor"]), response)


class listing(_Method, Generic[Parameters, Item]):
    """A method of `Calls` that returns `Pages`: an iterator of all items here, and an asynchronous iterator there.

    Each page is fetched when its first item is needed.
    """

    def __init__(self, pages: Callable[Concatenate[Any, Parameters], Pages[Item]]) -> None:
        @wraps(pages)
        def blocking(self: Blocking, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Iterator[Item]:
            asked, cursor = pages(self, *args, **kwargs), None
            while True:
                items, cursor = self._driver.run(asked.page(self._exchange, cursor))
                yield from items
                if cursor is None:
                    return

        @wraps(pages)
        async def awaiting(self: Awaiting, *args: Parameters.args, **kwargs: Parameters.kwargs) -> AsyncIterator[Item]:
            asked, cursor = pages(self, *args, **kwargs), None
            while True:
                items, cursor = await self._driver.run(asked.page(self._exchange, cursor))
                for item in items:
                    yield item
                if cursor is None:
                    return

        self._blocking, self._awaiting = blocking, awaiting
        (item,) = get_args(inspect.signature(pages).return_annotation)
        _show(blocking, GenericAlias(Iterator, item))
        _show(awaiting, GenericAlias(AsyncIterator, item))
        self.__doc__ = pages.__doc__

    @overload
    def __get__(self, client: None, owner: type[Calls]) -> Callable[..., Any]: ...
    @overload
    def __get__(self, client: Blocking, owner: type[Calls]) -> Callable[Parameters, Iterator[Item]]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type[Calls]) -> Callable[Parameters, AsyncIterator[Item]]: ...
    def __get__(self, client: Calls | None, owner: type[Calls]) -> Callable[..., Any]:
        return self._of(client, owner)


def _show(method: Any, reply: Any) -> None:
    """Lets `help` say what a method returns, and not its steps."""
    method.__signature__ = inspect.signature(method).replace(return_annotation=reply)
