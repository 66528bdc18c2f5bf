"""The API's routes as plain endpoints.

Routes are declared with FastAPI's `APIRouter`, and the OpenAPI document is made of them. FastAPI does not serve them, since it
solves their dependencies anew for each request (decision 0100). An endpoint finds out once what its function takes.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, get_args, get_type_hints

from fastapi import Request, params
from fastapi.responses import Response
from fastapi.routing import APIRoute

from server.http.audited import audited_of
from server.http.callers import Caller, need_of
from server.http.parameters import Parameters


class Endpoint:
    """A route's function, ready to be called.

    Args:
        given: by type, the values of parameters that are declared with `Depends`.

    Attributes:
        path: with the names of its parts, such as `/v1/tasks/{task}`.
        need: what it asks of its caller.
        audited: what the audit tells of it.

    Raises:
        ValueError: the route does not say what it asks of its caller.
    """

    def __init__(self, route: APIRoute, given: Mapping[type, Any]) -> None:
        self.path = route.path
        self.need = need_of(route)
        self.audited = audited_of(route)
        self._function: Callable[..., Awaitable[Response]] = route.endpoint
        self._parameters = Parameters(route.endpoint)
        self._constants = dict(self._parameters.defaults)
        self._request: str | None = None
        self._caller: str | None = None
        for name, hint in get_type_hints(route.endpoint, include_extras=True).items():
            if hint is Request:
                self._request = name
            elif Caller in get_args(hint):
                self._caller = name
            elif any(isinstance(each, params.Depends) for each in get_args(hint)):
                self._constants[name] = given[get_args(hint)[0]]

    async def __call__(self, request: Request, parts: Mapping[str, str], caller: Caller) -> Response:
        """Answers a request.

        Args:
            parts: of the request's path, by name.
            caller: whose request it is.

        Raises:
            HeadstartError: what is to be answered instead.
            ClientDisconnect: the client left.
        """
        arguments = {**self._constants, **parts, **self._parameters.given(request)}
        if self._request is not None:
            arguments[self._request] = request
        if self._caller is not None:
            arguments[self._caller] = caller
        return await self._function(**arguments)


class Endpoints:
    """Every endpoint by path and method.

    Args:
        routes: of paths whose parts are texts without a slash.
        given: as for `Endpoint`.
    """

    def __init__(self, routes: Iterable[APIRoute], given: Mapping[type, Any]) -> None:
        self._whole: dict[str, dict[str, Endpoint]] = {}
        self._patterns: dict[re.Pattern[str], dict[str, Endpoint]] = {}
        for route in routes:
            endpoint = Endpoint(route, given)
            if route.param_convertors:
                methods = self._patterns.setdefault(route.path_regex, {})
            else:
                methods = self._whole.setdefault(route.path, {})
            methods |= dict.fromkeys(route.methods or (), endpoint)

    def find(self, path: str) -> tuple[Mapping[str, Endpoint], Mapping[str, str]]:
        """Returns the endpoints of a path by method, and the parts of the path by name; both empty if there are none."""
        if path in self._whole:
            return self._whole[path], {}
        for pattern, methods in self._patterns.items():
            if found := pattern.fullmatch(path):  # A pattern's own end would take a line break after it.
                return methods, found.groupdict()
        return {}, {}
