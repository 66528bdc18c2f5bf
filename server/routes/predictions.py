"""`/v1/tasks/{task}/predict`: images in, labels out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.errors import (
    BackboneUnavailable,
    BodyTimeout,
    BodyTooLarge,
    EngineFailed,
    ImageBroken,
    ImageTooLarge,
    ImageUnsupported,
    InvalidRequest,
    LimitExceeded,
    Overloaded,
    StorageFailed,
    TaskNotFound,
    UnsupportedMediaType,
)
from server.predict import find_task, predict
from server.routes.bodies import read_queries
from server.routes.dependencies import TENANT, Served, reply, while_connected
from server.routes.openapi import PREDICT_BODY, answered
from server.routes.problems import documented
from server.schemas import PredictReply

router = APIRouter(prefix="/v1/tasks", tags=["predictions"])


@router.post(
    "/{task}/predict",
    summary="Recognise images",
    responses={
        200: answered(PredictReply, "Predictions in the order of the images"),
        **documented(
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
        ),
    },
    openapi_extra=PREDICT_BODY,
)
async def recognise(
    task: str,
    request: Request,
    service: Served,
    top_k: Annotated[int | None, Query(ge=1, description="labels to score, the most probable first; all by default")] = None,
) -> Response:
    """Among several images, one that cannot be read takes its place with an `error` and spoils nothing for its neighbours; a
    single one is answered with 413 or 422.
    """
    active = await find_task(service, TENANT, task)
    images = await read_queries(request, service)
    return reply(await while_connected(request, predict(service, active, images, top_k)))
