"""Common parts of all routes: the service, the reply, and the watch for a client that leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from server.service import Service

_UNWATCHED_SECONDS = 0.1  # Most work ends before. A watch is a task of its own, and costs more than a timer.

_Result = TypeVar("_Result")


def _given() -> None:
    """Marks a parameter that `server.http.endpoints` fills by its type. It is never called."""


GIVEN = Depends(_given)
Served = Annotated[Service, GIVEN]


def reply(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Returns a JSON response. The body is ours and already validated, so FastAPI need not do it again."""
    return Response(body.model_dump_json(), status, headers, "application/json")


async def while_connected(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Does the work unless the client leaves first. Then the work is cancelled, and what it had queued is skipped.

    It notices within a tenth of a second.

    Raises:
        ClientDisconnect: the client left.
        BodyTooLarge, BodyTimeout: the rest of the body breaks a limit.
    """
    task = asyncio.current_task()
    assert task is not None
    left = False
    leaving: asyncio.Task[None] | None = None

    def leave(_leaving: "asyncio.Task[None]") -> None:
        nonlocal left
        left = True
        task.cancel()

    def watch() -> None:
        nonlocal leaving
        leaving = asyncio.ensure_future(_disconnected(request))
        leaving.add_done_callback(leave)

    timer = asyncio.get_running_loop().call_later(_UNWATCHED_SECONDS, watch)
    try:
        return await work
    except asyncio.CancelledError:
        if not left or task.uncancel():  # The server stops.
            raise
        assert leaving is not None
        leaving.result()  # A body that breaks a limit is not a client that left.
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if leaving is not None:
            leaving.remove_done_callback(leave)
            leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
