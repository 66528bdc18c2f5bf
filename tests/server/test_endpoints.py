"""Routes that FastAPI declares and endpoints serve."""

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from server.errors import InvalidRequest
from server.http.callers import OPERATOR, Calling, needs
from server.http.dependencies import GIVEN
from server.http.endpoints import Endpoints

router = APIRouter(prefix="/things")


@router.get("", dependencies=needs("open"))
async def things(request: Request, caller: Calling) -> Response:
    return Response(f"{request.url.path} of {caller.tenant}")


@router.post("/{thing}", dependencies=needs("write"))
async def change(
    thing: str,
    number: Annotated[int, GIVEN],
    top_k: Annotated[int | None, Query(ge=1)] = None,
    names: Annotated[list[str] | None, Query()] = None,
    some_key: Annotated[str | None, Header()] = None,
) -> Response:
    return Response(repr((thing, number, top_k, names, some_key)))


def answer(method: str, path: str, query: str = "", **headers: str) -> str:
    endpoints = Endpoints([route for route in router.routes if isinstance(route, APIRoute)], {int: 7})
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "path": path, "query_string": query.encode(), "headers": sent}
    methods, parts = endpoints.find(path)
    return bytes(asyncio.run(methods[method](Request(scope), parts, OPERATOR)).body).decode()


def test_each_argument_comes_from_where_it_is_declared() -> None:
    assert answer("GET", "/things") == "/things of default"
    assert answer("POST", "/things/a") == "('a', 7, None, None, None)"
    asked = answer("POST", "/things/a", "names=x&top_k=2&names=y", **{"some-key": "k"})
    assert asked == "('a', 7, 2, ['x', 'y'], 'k')"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("top_k=0", "query.top_k: Input should be greater than or equal to 1"),
        ("top_k=1&top_k=2", "query parameter top_k is given 2 times; give it once"),
        ("topk=1", "unknown query parameter 'topk'; did you mean 'top_k'? known: names, top_k"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(query: str, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        answer("POST", "/things/a", query)
    assert refused.value.detail == problem


def test_other_paths_and_methods_are_not_found() -> None:
    endpoints = Endpoints([route for route in router.routes if isinstance(route, APIRoute)], {int: 7})
    assert endpoints.find("/things/a/b") == ({}, {})
    assert [set(endpoints.find(path)[0]) for path in ("/things", "/things/a")] == [{"GET"}, {"POST"}]


def test_a_route_that_does_not_say_what_it_needs_is_no_endpoint() -> None:
    silent = APIRouter()
    silent.add_api_route("/silent", things)
    with pytest.raises(ValueError, match="/silent does not say"):
        Endpoints([route for route in silent.routes if isinstance(route, APIRoute)], {})
