"""`/v1/events`: the events of tasks, for programs that ask from time to time."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from server.errors import InvalidRequest, StorageFailed
from server.http.callers import Calling, needs
from server.http.dependencies import Served, reply
from server.http.openapi import answered
from server.http.problems import documented
from server.schemas.events import EventPage, EventReply

router = APIRouter(prefix="/v1/events", tags=["events"])


@router.get(
    "",
    dependencies=needs("write"),
    summary="What happened to tasks, in the order in which it happened",
    responses={200: answered(EventPage, "Events"), **documented(InvalidRequest, StorageFailed)},
)
async def events(
    caller: Calling,
    service: Served,
    after: Annotated[
        str | None,
        Query(
            description="`next` of the answer before; left out, from the oldest there is; `latest`, no events but a `next`",
            json_schema_extra={"minLength": 1},
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="most events of the answer")] = 100,
) -> Response:
    """Answers at once, also when nothing has happened since: ask again after a while."""
    page = await service.pools.in_thread(service.store.events.page, caller.tenant, after, limit, caller.task)
    found = [EventReply(**asdict(event)) for event in page.events]
    return reply(EventPage(events=found, next=page.following, missed=page.missed))
