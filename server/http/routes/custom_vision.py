"""`/customvision/v3.0/Prediction/{task}`: predictions for clients of Azure Custom Vision.

`server.http.dialects` has understood the request before: whichever of Custom Vision's paths, ids and keys it came with.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Query, Request, Security
from fastapi.responses import Response
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException

from server.errors import VersionNotFound
from server.http.audited import audited
from server.http.bodies.images import read_image_data
from server.http.callers import Caller, Calling, needs
from server.http.dependencies import Served, while_connected
from server.http.dialects import CUSTOM_VISION
from server.http.openapi import IMAGE_DATA_BODY, answered
from server.http.problems import documented
from server.http.routes.predictions import PREDICTION_ERRORS
from server.ids import uuid_of
from server.journeys.active_task import find_task
from server.journeys.predict import encode, predict
from server.schemas.dialects import ImagePrediction
from server.service import Service

router = APIRouter(prefix=f"{CUSTOM_VISION}/{{task}}/classify/iterations/{{iteration}}", tags=["clients of other services"])

_KEY = Security(
    APIKeyHeader(name="Prediction-Key", scheme_name="Prediction-Key", description="the key, for Custom Vision's clients")
)
_NEEDS = [*needs("predict"), _KEY, *audited("task.predict", "use", "tasks/{task}")]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: answered(ImagePrediction, "The labels with their probabilities, the most probable first"),
    **documented(*PREDICTION_ERRORS, VersionNotFound),
}
_Application = Annotated[str | None, Query(description="taken, and not used: Custom Vision's clients may name themselves")]
_TAGS = 10_000  # ids that are remembered, since hashing a thousand labels takes longer than scoring them
_NO_URLS = "this server never fetches a URL: send the image itself to …/image, or …/image/nostore"


@router.post(
    "/image",
    dependencies=_NEEDS,
    summary="Recognise an image, as Custom Vision",
    responses=_RESPONSES,
    openapi_extra=IMAGE_DATA_BODY,
)
async def classify(
    task: str,
    iteration: str,
    request: Request,
    caller: Calling,
    service: Served,
    application: _Application = None,  # noqa: ARG001
) -> Response:
    """The task is named by its id, or by the UUID that answers have. The iteration is the number of the active version, or any
    name. The probabilities are those of `…/predict`, and the image is captured as the task's `capture` says.
    """
    return await _classify(task, iteration, request, caller, service, None)


@router.post(
    "/image/nostore",
    dependencies=_NEEDS,
    summary="Recognise an image, as Custom Vision, and capture nothing",
    responses=_RESPONSES,
    openapi_extra=IMAGE_DATA_BODY,
)
async def classify_without_capture(
    task: str,
    iteration: str,
    request: Request,
    caller: Calling,
    service: Served,
    application: _Application = None,  # noqa: ARG001
) -> Response:
    """The same, but the image is never captured."""
    return await _classify(task, iteration, request, caller, service, False)


@router.post("/url", dependencies=_NEEDS, include_in_schema=False)
@router.post("/url/nostore", dependencies=_NEEDS, include_in_schema=False)
async def refuse_url(
    task: str,
    iteration: str,  # noqa: ARG001
    caller: Calling,
    service: Served,
    application: _Application = None,  # noqa: ARG001
) -> Response:
    """Is answered 501, where there is such a task."""
    await find_task(service, caller.task_key(task), "ignore")
    raise HTTPException(501, _NO_URLS)


async def _classify(task: str, iteration: str, request: Request, caller: Caller, service: Service, keep: bool | None) -> Response:
    active = await find_task(service, caller.task_key(task))
    if iteration.isdecimal() and iteration != str(active.version):
        raise VersionNotFound(iteration, active.version)
    image = await read_image_data(request)
    answer = await while_connected(request, predict(service, active, image, None, keep=keep))
    project = uuid_of(task)
    body = {
        "id": uuid4(),
        "project": project,
        "iteration": _iteration_id(project, active.version),
        "created": datetime.now(UTC),
        "predictions": [
            {"probability": probability, "tagId": _tag_id(project, label), "tagName": label}
            for label, probability in answer["predictions"][0]["scores"].items()
        ],
    }
    return Response(encode(body), media_type="application/json")


@lru_cache(_TAGS)
def _tag_id(project: UUID, label: str) -> UUID:
    return uuid5(project, label)


def _iteration_id(project: UUID, version: int) -> UUID:
    return uuid5(project, f"\0{version}")  # No label has a control character.
