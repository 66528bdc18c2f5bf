"""`/v1/tasks/{task}/quality` and `/v1/tasks/{task}/compare`: how good a task is, and whether it could be better."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.errors import (
    BackboneNotFound,
    BackboneNotOpen,
    BackboneUnavailable,
    BodyTimeout,
    BodyTooLarge,
    Conflict,
    EngineFailed,
    ImageBroken,
    ImageNotKept,
    ImageTooLarge,
    ImageUnsupported,
    InvalidBundle,
    InvalidRequest,
    NotForSeveralLabels,
    Overloaded,
    StorageFailed,
    TaskNotFound,
    UnsupportedMediaType,
)
from server.http.audited import audited
from server.http.bodies.content import read_json_if_any
from server.http.callers import Calling, needs
from server.http.dependencies import Served, reply, while_connected
from server.http.openapi import COMPARE_BODY, answered
from server.http.problems import documented
from server.journeys.compare import compare
from server.journeys.quality import task_quality
from server.schemas.comparison import ComparisonReply
from server.schemas.quality import QualityReply
from server.schemas.requests import CompareBody

router = APIRouter(prefix="/v1/tasks/{task}", tags=["tasks"])

_ERRORS = (TaskNotFound, Overloaded, BackboneUnavailable, StorageFailed)


@router.get(
    "/quality",
    dependencies=needs("write"),
    summary="How good a task is, and which examples to look at",
    responses={200: answered(QualityReply, "Judged by leave-one-out"), **documented(*_ERRORS)},
)
async def quality(task: str, request: Request, caller: Calling, service: Served) -> Response:
    """Each example of the active version is judged by a head fitted without it. Above 500 examples that are 20 folds instead,
    which may take seconds, unless an image may have several labels. A class with a single example cannot be judged so.
    """
    return reply(await while_connected(request, task_quality(service, caller.task_key(task))))


@router.post(
    "/compare",
    dependencies=needs("write") + audited("task.compare", "access"),
    summary="Try other solvers, options and backbones on a task's own examples",
    responses={
        200: answered(ComparisonReply, "The active version, then the candidates in the order asked"),
        **documented(
            *_ERRORS,
            BackboneNotFound,
            BackboneNotOpen,
            ImageNotKept,
            Conflict,
            BodyTimeout,
            BodyTooLarge,
            ImageTooLarge,
            UnsupportedMediaType,
            InvalidRequest,
            NotForSeveralLabels,
            InvalidBundle,
            ImageBroken,
            ImageUnsupported,
            EngineFailed,
        ),
    },
    openapi_extra=COMPARE_BODY,
)
async def compare_candidates(task: str, request: Request, caller: Calling, service: Served) -> Response:
    """Each is judged as `quality` judges the active version, on the same examples. Nothing is stored or published, save that
    a bundle which a candidate names is opened. Below the scope `manage` it must be open, or the bundle of new tasks or of a
    task of the tenant, since opening one may close another that others use. A candidate that cannot be tried takes its place
    with an `error`, unless it is the only one. Other backbones embed the stored images behind everyone else's, which may take
    minutes for a large task.
    """
    await service.pools.in_thread(
        service.store.active.get, caller.task_key(task)
    )  # An unknown task is answered before its body is read.
    asked = await read_json_if_any(request, CompareBody)
    may_open = caller.scope == "manage"
    return reply(await while_connected(request, compare(service, caller.task_key(task), asked.candidates, may_open=may_open)))
