"""The parameters that a route's function takes from the query and the headers of a request."""

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin, get_type_hints

from fastapi import Request, params
from pydantic import TypeAdapter, ValidationError

from server.errors import InvalidRequest


class Parameters:
    """The parameters that a function declares with `Query` and `Header`, as FastAPI reads them for the document.

    Args:
        function: each of those parameters has a default.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.defaults: dict[str, Any] = {}
        self._query: dict[str, TypeAdapter[Any]] = {}
        self._lists: set[str] = set()
        self._headers: dict[str, TypeAdapter[Any]] = {}
        hints = get_type_hints(function, include_extras=True)
        for name, parameter in inspect.signature(function).parameters.items():
            kinds = {type(each) for each in get_args(hints[name])}
            if params.Query in kinds:
                self._query[name] = TypeAdapter(hints[name])
                if list in {get_origin(each) for each in get_args(get_args(hints[name])[0])}:
                    self._lists.add(name)
            elif params.Header in kinds:
                self._headers[name] = TypeAdapter(hints[name])
            else:
                continue
            assert parameter.default is not inspect.Parameter.empty, f"parameter {name} of {function} has no default"
            self.defaults[name] = parameter.default

    def given(self, request: Request) -> Mapping[str, Any]:
        """Returns the values that a request gives; the others have their defaults.

        Raises:
            InvalidRequest: the query has a parameter that is unknown, or one twice that may be given once; or a value does not
                fit. A misspelt parameter would else change in silence what is done.
        """
        values = self._from_query(request) if request.scope["query_string"] else {}
        for name, adapter in self._headers.items():
            if (value := request.headers.get(name.replace("_", "-"))) is not None:
                values[name] = _fitting(adapter, value, f"header.{name.replace('_', '-')}")
        return values

    def _from_query(self, request: Request) -> dict[str, Any]:
        query = request.query_params
        for name, times in Counter(name for name, _ in query.multi_items()).items():
            if name not in self._query:
                raise InvalidRequest(f"unknown query parameter {name[:100]!r}; {_instead(name, sorted(self._query))}")
            if times > 1 and name not in self._lists:
                raise InvalidRequest(f"query parameter {name} is given {times} times; give it once")
        return {
            name: _fitting(adapter, query.getlist(name) if name in self._lists else query[name], f"query.{name}")
            for name, adapter in self._query.items()
            if name in query
        }


def _fitting(adapter: TypeAdapter[Any], value: str | list[str], where: str) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{'.'.join(map(str, (where, *first['loc'])))}: {first['msg']}") from None


def _instead(name: str, known: list[str]) -> str:
    if not known:
        return "this call takes none"
    near = get_close_matches(name[:100].lower(), known, 1, cutoff=0)
    return f"did you mean {near[0]!r}? known: {', '.join(known)}"
