"""`/v1/refreshes`: move tasks onto another bundle, watch, pause, resume, cancel, roll back."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from msgspec.structs import asdict

from server.errors import (
    AnswerForgotten,
    BackboneNotFound,
    BodyTimeout,
    BodyTooLarge,
    IdempotencyKeyReused,
    InvalidRequest,
    RefreshNotFound,
    StorageFailed,
    TaskNotFound,
    UnsupportedMediaType,
    WrongRefreshState,
)
from server.http.audited import audited
from server.http.bodies.content import WITH_TASKS, read_json
from server.http.callers import Caller, Calling, needs
from server.http.dependencies import GIVEN, Served, reply
from server.http.idempotency import create_once
from server.http.openapi import REFRESH_BODY, answered
from server.http.problems import documented
from server.http.routes.tasks import Cursor, IdempotencyKey, Limit
from server.refresh.replies import refresh_reply, refresh_task_reply
from server.refresh.worker import RefreshWorker
from server.schemas.refreshes import RefreshBody, RefreshPage, RefreshReply, RefreshTaskPage
from server.service import Service
from server.store.records import Asked, Replay
from server.store.refresh_records import RefreshAction

router = APIRouter(prefix="/v1/refreshes", tags=["refreshes"])

_CHANGE_ERRORS = documented(RefreshNotFound, WrongRefreshState, StorageFailed)


Working = Annotated[RefreshWorker, GIVEN]


@router.post(
    "",
    dependencies=needs("manage") + audited("refresh.begin"),
    status_code=202,
    summary="Move tasks onto another bundle",
    responses={
        202: answered(RefreshReply, "The refresh, which the server works on from now on", location="the refresh"),
        **documented(
            BackboneNotFound,
            TaskNotFound,
            BodyTimeout,
            BodyTooLarge,
            UnsupportedMediaType,
            InvalidRequest,
            IdempotencyKeyReused,
            AnswerForgotten,
            StorageFailed,
        ),
    },
    openapi_extra=REFRESH_BODY,
)
async def begin(
    request: Request, caller: Calling, service: Served, working: Working, idempotency_key: IdempotencyKey = None
) -> Response:
    """Moves tasks onto another bundle while they serve. Each task's images are embedded again in the background. Its new head is
    judged beside the one that serves, and becomes active unless the accuracy falls by more than `max_drop`. If no example can be
    left out, the task stays, unless the two bundles' evaluations on several datasets favour the move.

    `all` means every task that exists now. The server works on one refresh at a time, the oldest first.
    """
    asked = await read_json(request, service, RefreshBody, WITH_TASKS)
    await service.backbones.check_known(asked.to)

    store = service.store.refreshes

    async def create(kept: Asked | None) -> RefreshReply:
        created = await service.pools.in_writer(store.create, caller.tenant, asked.to, asked.max_drop, asked.tasks, kept)
        working.on_change(created.id)
        return refresh_reply(created, None)

    async def again(replay: Replay) -> RefreshReply:
        assert replay.refresh is not None
        return refresh_reply(await service.pools.in_thread(store.as_created, caller.tenant, replay.refresh), None)

    purpose = json.dumps(["refresh", asdict(asked)])
    return await create_once(
        service, caller.tenant, idempotency_key, purpose, (), create, again, lambda body: f"{router.prefix}/{body.id}", 202
    )


@router.get(
    "",
    dependencies=needs("manage"),
    summary="List refreshes, newest first",
    responses={200: answered(RefreshPage, "A page of refreshes"), **documented(InvalidRequest, StorageFailed)},
)
async def list_refreshes(
    caller: Calling,
    service: Served,
    working: Working,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100, description="entries per page")] = 20,
) -> Response:
    found, next_cursor = await service.pools.in_thread(service.store.refreshes.page, caller.tenant, cursor, limit)
    shown = [refresh_reply(refresh, working.under_way) for refresh in found]
    return reply(RefreshPage(refreshes=shown, next_cursor=next_cursor))


@router.get(
    "/{refresh}",
    dependencies=needs("manage"),
    summary="How far a refresh is",
    responses={200: answered(RefreshReply, "The refresh"), **documented(RefreshNotFound, StorageFailed)},
)
async def show(refresh: str, caller: Calling, service: Served, working: Working) -> Response:
    found = await service.pools.in_thread(service.store.refreshes.get, caller.tenant, refresh)
    return reply(refresh_reply(found, working.under_way))


@router.get(
    "/{refresh}/tasks",
    dependencies=needs("manage"),
    summary="What became of each task of a refresh, the oldest task first",
    responses={
        200: answered(RefreshTaskPage, "A page of tasks"),
        **documented(RefreshNotFound, InvalidRequest, StorageFailed),
    },
)
async def list_tasks(refresh: str, caller: Calling, service: Served, cursor: Cursor = None, limit: Limit = 100) -> Response:
    found, next_cursor = await service.pools.in_thread(service.store.refreshes.tasks, caller.tenant, refresh, cursor, limit)
    return reply(RefreshTaskPage(tasks=[refresh_task_reply(task) for task in found], next_cursor=next_cursor))


@router.post(
    "/{refresh}/pause",
    dependencies=needs("manage") + audited("refresh.pause"),
    summary="Pause a refresh",
    responses={200: answered(RefreshReply, "Paused: no task is moved after this answer"), **_CHANGE_ERRORS},
)
async def pause(refresh: str, caller: Calling, service: Served, working: Working) -> Response:
    """It stays paused over a restart, until it is resumed or cancelled."""
    return await _change(caller, refresh, "pause", service, working)


@router.post(
    "/{refresh}/resume",
    dependencies=needs("manage") + audited("refresh.resume"),
    summary="Resume a paused refresh",
    responses={200: answered(RefreshReply, "Running"), **_CHANGE_ERRORS},
)
async def resume(refresh: str, caller: Calling, service: Served, working: Working) -> Response:
    return await _change(caller, refresh, "resume", service, working)


@router.post(
    "/{refresh}/cancel",
    dependencies=needs("manage") + audited("refresh.cancel"),
    summary="Cancel a refresh",
    responses={200: answered(RefreshReply, "Cancelled: no task is moved after this answer"), **_CHANGE_ERRORS},
)
async def cancel(refresh: str, caller: Calling, service: Served, working: Working) -> Response:
    """Tasks that were moved stay moved, and may be rolled back."""
    return await _change(caller, refresh, "cancel", service, working)


@router.post(
    "/{refresh}/rollback",
    dependencies=needs("manage") + audited("refresh.rollback"),
    status_code=202,
    summary="Return every task that a refresh moved",
    responses={202: answered(RefreshReply, "The refresh, which is being rolled back from now on"), **_CHANGE_ERRORS},
)
async def roll_back(refresh: str, caller: Calling, service: Served, working: Working) -> Response:
    """Returns each task to what it was before. A task whose examples have changed since keeps them, with a head fitted on the
    bundle that it came from. The refresh must have ended. A second call tries the tasks that could not be returned.
    """
    return await _change(caller, refresh, "rollback", service, working, 202)


async def _change(
    caller: Caller, refresh: str, action: RefreshAction, service: Service, working: RefreshWorker, status: int = 200
) -> Response:
    changed = await service.pools.in_writer(service.store.refreshes.change, caller.tenant, refresh, action)
    working.on_change(refresh)
    return reply(refresh_reply(changed, None), status)
