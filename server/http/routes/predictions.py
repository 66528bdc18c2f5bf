"""`/v1/tasks/{task}/predict`: images in, labels out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.errors import (
    BackboneUnavailable,
    BodyTimeout,
    BodyTooLarge,
    Conflict,
    EngineFailed,
    ImageBroken,
    ImageTooLarge,
    ImageUnsupported,
    InvalidRequest,
    LimitExceeded,
    NotForSeveralLabels,
    Overloaded,
    StorageFailed,
    StoredQuotaExceeded,
    TaskNotFound,
    UnsupportedMediaType,
)
from server.http.audited import audited
from server.http.bodies.images import read_many_queries, read_queries
from server.http.callers import Calling, needs
from server.http.dependencies import Served, while_connected
from server.http.openapi import PREDICT_BODY, PREDICT_MANY_BODY, answered
from server.http.problems import documented
from server.journeys.active_task import Mode, Unknown, find_task
from server.journeys.predict import encode, predict
from server.journeys.predict_many import find_tasks, predict_many
from server.schemas.predictions import PredictManyReply, PredictReply

router = APIRouter(prefix="/v1", tags=["predictions"])

PREDICTION_ERRORS = (
    TaskNotFound,
    BodyTimeout,
    BodyTooLarge,
    ImageTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    LimitExceeded,
    ImageBroken,
    ImageUnsupported,
    Overloaded,
    EngineFailed,
    BackboneUnavailable,
    StorageFailed,
)


@router.post(
    "/tasks/{task}/predict",
    dependencies=needs("predict") + audited("task.predict", "use"),
    summary="Recognise images",
    responses={
        200: answered(PredictReply, "Predictions in the order of the images"),
        **documented(*PREDICTION_ERRORS, NotForSeveralLabels, Conflict, StoredQuotaExceeded),
    },
    openapi_extra=PREDICT_BODY,
)
async def recognise(
    task: str,
    request: Request,
    caller: Calling,
    service: Served,
    top_k: Annotated[int | None, Query(ge=1, description="labels to score, the most probable first; all by default")] = None,
    unknown: Annotated[Unknown, Query(description="`ignore` leaves out `known`, `novelty` and `nearest`")] = "judge",
    mode: Annotated[
        Mode, Query(description="`transductive` judges the images of the request in one another's light")
    ] = "inductive",
    remember: Annotated[
        bool | None,
        Query(
            description="`true` stores each prediction before it is answered, with an id for corrections; `false` captures none; "
            "otherwise as the task's `capture` says"
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        Query(gt=0, lt=1, description="adds to each prediction the `set` of labels that holds the right one so often"),
    ] = None,
) -> Response:
    """Among several images, one that cannot be read takes its place with an `error` and spoils nothing for its neighbours; a
    single one is answered with 413 or 422.

    `known` is false for what is probably none of the task's classes: about one in twenty of their own images is refused too.
    """
    if coverage is not None and mode == "transductive":
        raise InvalidRequest("coverage is for images judged each alone; ask without mode=transductive")
    active = await find_task(service, caller.task_key(task), unknown, mode, coverage is not None)
    images = await read_queries(request, service)
    answer = await while_connected(request, predict(service, active, images, top_k, coverage, remember))
    return Response(encode(answer), media_type="application/json")


@router.post(
    "/predict",
    dependencies=needs("predict") + audited("tasks.predict", "use"),
    summary="Recognise images by many tasks at once",
    responses={200: answered(PredictManyReply, "A result for each task, in the order asked"), **documented(*PREDICTION_ERRORS)},
    openapi_extra=PREDICT_MANY_BODY,
)
async def recognise_by_many(
    request: Request,
    caller: Calling,
    service: Served,
    tasks: Annotated[
        list[str] | None, Query(description="ids separated by commas, or `all`, newest first; unless the body says it")
    ] = None,
    top_k: Annotated[int, Query(ge=1, description="labels to score in each prediction, the most probable first")] = 1,
    unknown: Annotated[
        Unknown, Query(description="`judge` adds `known`, `novelty` and `nearest`, which takes longer")
    ] = "ignore",
) -> Response:
    """Each image is embedded once, however many tasks there are. A task that cannot be asked now, and an image that cannot be
    read, takes its place with an `error`, unless it is the only one.
    """
    asked = await read_many_queries(request, service, tasks)
    found = await find_tasks(service, caller.tenant, caller.within(asked.tasks))
    answer = await while_connected(request, predict_many(service, caller.tenant, found, asked.images, top_k, unknown))
    return Response(answer, media_type="application/json")
