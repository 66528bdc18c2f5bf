"""`/v1/tasks/{task}/captures` and `…/corrections`: captured predictions, and what people decide about them."""

import json
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from models.images.preprocess import MEDIA_TYPES
from models.labels import Label
from server.errors import (
    AnswerForgotten,
    BackboneUnavailable,
    BodyTimeout,
    BodyTooLarge,
    CaptureNotFound,
    Conflict,
    EngineFailed,
    ErasurePending,
    IdempotencyKeyReused,
    ImageBroken,
    ImageNotKept,
    ImageTooLarge,
    ImageUnsupported,
    InvalidLabel,
    InvalidRequest,
    LimitExceeded,
    Overloaded,
    StorageFailed,
    StoredQuotaExceeded,
    TaskNotFound,
    UnsupportedMediaType,
)
from server.http.audited import audited
from server.http.bodies.content import read_json
from server.http.bodies.labels import label_in
from server.http.callers import Caller, Calling, needs
from server.http.dependencies import Served, reply, while_connected
from server.http.idempotency import create_once
from server.http.openapi import CORRECTION_BODY, RESOLVE_BODY, answered, binary
from server.http.problems import documented
from server.http.routes.tasks import IdempotencyKey
from server.journeys.replay import changed_task_again
from server.journeys.resolve import Decisions, resolve
from server.journeys.review import Order, review_queue
from server.schemas.captures import CapturePage
from server.schemas.replies import ChangedTaskReply
from server.schemas.requests import CorrectionBody, Decision, ResolveBody
from server.service import Service

router = APIRouter(prefix="/v1/tasks/{task}", tags=["review"])

_MOST_BYTES = 1_000_000  # of decisions: as many ids as a task may have captures

_ERRORS = (TaskNotFound, CaptureNotFound, ImageNotKept, StorageFailed)
_CHANGE_ERRORS = (
    *_ERRORS,
    AnswerForgotten,
    BackboneUnavailable,
    BodyTimeout,
    BodyTooLarge,
    Conflict,
    EngineFailed,
    IdempotencyKeyReused,
    ImageBroken,
    ImageTooLarge,
    ImageUnsupported,
    InvalidLabel,
    InvalidRequest,
    LimitExceeded,
    Overloaded,
    StoredQuotaExceeded,
    UnsupportedMediaType,
)


@router.get(
    "/captures",
    dependencies=needs("write"),
    summary="The review queue: captured predictions that wait for a decision",
    responses={
        200: answered(CapturePage, "A page of captures"),
        **documented(TaskNotFound, InvalidRequest, Conflict, Overloaded, BackboneUnavailable, StorageFailed),
    },
)
async def captures(
    task: str,
    request: Request,
    caller: Calling,
    service: Served,
    order: Annotated[Order, Query(description="`unknown` has the likeliest strangers first")] = "most-useful",
    limit: Annotated[int, Query(ge=1, le=100, description="entries per page")] = 20,
    after: Annotated[
        str | None, Query(description="`next_cursor` of the page before", json_schema_extra={"minLength": 1})
    ] = None,
) -> Response:
    """The active version judges all captures anew at each call. Begin again without `after` once something was decided."""
    return reply(await while_connected(request, review_queue(service, caller.task_key(task), order, limit, after)))


@router.get(
    "/captures/{capture}/image",
    dependencies=needs("write") + audited("capture.image", "access"),
    summary="A captured image, as it was sent",
    response_class=Response,
    responses={
        200: binary("The image", MEDIA_TYPES),
        **documented(*_ERRORS),
    },
)
async def capture_image(task: str, capture: str, caller: Calling, service: Served) -> Response:
    image, media_type = await service.pools.in_images(service.store.captures.image, caller.task_key(task), capture)
    return Response(image, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})


@router.post(
    "/captures/resolve",
    dependencies=needs("write") + audited("captures.resolve"),
    status_code=201,
    summary="Decide about captures: one new version, active in the answer",
    responses={
        201: answered(ChangedTaskReply, "The task in its new version", location="the task"),
        **documented(*_CHANGE_ERRORS, ErasurePending),
    },
    openapi_extra=RESOLVE_BODY,
)
async def resolve_captures(
    task: str, request: Request, caller: Calling, service: Served, idempotency_key: IdempotencyKey = None
) -> Response:
    """All decisions are carried out, or none. Captures with a label become examples, and those with null negatives. Discarded
    ones are in no file any more when the answer comes. Where all are discarded, no version is made.
    """
    wanted = await read_json(request, service, ResolveBody, _MOST_BYTES)
    return await _decide(caller, task, request, service, idempotency_key, wanted.decisions)


@router.post(
    "/corrections",
    dependencies=needs("write") + audited("capture.correct"),
    status_code=201,
    summary="Put a remembered prediction right: a new version, active in the answer",
    responses={
        201: answered(ChangedTaskReply, "The task in its new version", location="the task"),
        **documented(*_CHANGE_ERRORS),
    },
    openapi_extra=CORRECTION_BODY,
)
async def correct(
    task: str, request: Request, caller: Calling, service: Served, idempotency_key: IdempotencyKey = None
) -> Response:
    """The image becomes an example of that class, or with null a negative. The prediction leaves the review queue."""
    wanted = await read_json(request, service, CorrectionBody)
    decision = Decision(captures=[wanted.prediction], label=wanted.label, labels=wanted.labels)
    return await _decide(caller, task, request, service, idempotency_key, [decision])


async def _decide(
    caller: Caller, task: str, request: Request, service: Service, idempotency_key: str | None, wanted: list[Decision]
) -> Response:
    decisions = await service.pools.in_thread(_decisions, wanted)
    key = caller.task_key(task)
    return await create_once(
        service,
        caller.tenant,
        idempotency_key,
        json.dumps(["resolve", task, decisions.labels, decisions.discarded]),
        [],
        lambda kept: while_connected(request, resolve(service, key, decisions, kept)),
        partial(changed_task_again, service, caller.tenant),
        lambda changed: f"/v1/tasks/{changed.id}",
    )


def _decisions(wanted: list[Decision]) -> Decisions:
    """Returns the decisions by capture.

    Raises:
        InvalidLabel: a label cannot be one.
        InvalidRequest: a capture is named twice.
    """
    labels: dict[str, Label | None] = {}
    discarded: list[str] = []
    named: set[str] = set()
    for decision in wanted:
        label = label_in(decision.label, decision.labels)
        for capture in decision.captures:
            if capture in named:
                raise InvalidRequest(f"capture {capture!r} is named twice; decide once about each")
            named.add(capture)
            if decision.discard:
                discarded.append(capture)
            else:
                labels[capture] = label
    return Decisions(labels, discarded)
