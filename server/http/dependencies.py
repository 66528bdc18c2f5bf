"""What every route needs: the service, the tenant, the reply, and an eye on the client's leaving."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args, get_origin

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from server.errors import InvalidRequest
from server.service import Service

TENANT = "default"

_Result = TypeVar("_Result")


async def _service(request: Request) -> Service:  # not to be run in a thread, as FastAPI does with plain functions
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]


async def refuse_unknown_parameters(request: Request) -> None:
    """Goes before every route, since a misspelt parameter changes what is done in silence.

    Raises:
        InvalidRequest: the query has a parameter that the route does not know, or one twice that may be given once.
    """
    if not request.scope["query_string"]:
        return
    known = {field.alias: field for field in request.scope["route"].dependant.query_params}
    given = Counter(name for name, _ in request.query_params.multi_items())
    for name, times in given.items():
        if name not in known:
            raise InvalidRequest(f"unknown query parameter {name[:100]!r}; {_instead(name, sorted(known))}")
        if times > 1 and not _is_list(known[name].field_info.annotation):
            raise InvalidRequest(f"query parameter {name} is given {times} times; give it once")


def _instead(name: str, known: list[str]) -> str:
    if not known:
        return "this call takes none"
    near = get_close_matches(name[:100].lower(), known, 1, cutoff=0)
    return f"did you mean {near[0]!r}? known: {', '.join(known)}"


def _is_list(annotation: Any) -> bool:
    return list in {get_origin(annotation), *map(get_origin, get_args(annotation))}


def reply(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response. The body is ours and already validated, so FastAPI need not do it again."""
    return Response(body.model_dump_json(), status, headers, "application/json")


async def while_connected(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Does the work unless the client leaves first: then it is cancelled, and what it had queued is skipped.

    Raises:
        ClientDisconnect: the client left.
        BodyTooLarge, BodyTimeout: what is left of the body breaks a limit.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            leaving.result()  # A body that breaks a limit is not a client that left.
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
