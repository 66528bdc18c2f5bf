"""`/v1/tasks`: create, list, show, change, remove; their examples and versions."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from msgspec.structs import asdict

from models.images.preprocess import MEDIA_TYPES
from server.audit import doing
from server.errors import (
    AnswerForgotten,
    BackboneUnavailable,
    BodyTimeout,
    BodyTooLarge,
    Conflict,
    EngineFailed,
    ErasurePending,
    ExampleNotFound,
    IdempotencyKeyReused,
    ImageBroken,
    ImageNotKept,
    ImageTooLarge,
    ImageUnsupported,
    InvalidArchive,
    InvalidLabel,
    InvalidRequest,
    LimitExceeded,
    NotForSeveralLabels,
    Overloaded,
    StorageFailed,
    StoredQuotaExceeded,
    TaskNotFound,
    TooFewClasses,
    UnsupportedMediaType,
    VersionNotFound,
)
from server.http.audited import audited
from server.http.bodies.content import read_json
from server.http.bodies.images import read_examples, read_task
from server.http.bodies.labels import label_in
from server.http.callers import Calling, needs
from server.http.dependencies import Served, reply, while_connected
from server.http.idempotency import create_once
from server.http.openapi import EXAMPLE_PATCH_BODY, EXAMPLES_BODY, PATCH_BODY, TASK_BODY, answered, binary
from server.http.problems import documented
from server.journeys import adapt
from server.journeys.forget import delete_task, forget_example
from server.journeys.relabel import relabel_example
from server.journeys.replay import changed_task_again
from server.schemas.from_records import example_reply, task_reply, version_reply
from server.schemas.replies import ChangedTaskReply, ExamplePage, TaskPage, TaskReply, VersionPage
from server.schemas.requests import ExamplePatch, TaskPatch
from server.store.records import CaptureSetting

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

_BODY_ERRORS = (BodyTimeout, BodyTooLarge, UnsupportedMediaType, InvalidRequest)
_SUPPORT_ERRORS = (
    *_BODY_ERRORS,
    ImageTooLarge,
    ImageBroken,
    ImageUnsupported,
    InvalidLabel,
    InvalidArchive,
    LimitExceeded,
    IdempotencyKeyReused,
    AnswerForgotten,
    Overloaded,
    EngineFailed,
    StorageFailed,
    StoredQuotaExceeded,
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="up to 255 characters; the same key with the same request within 24 hours gets the first answer again",
        json_schema_extra={"minLength": 1, "maxLength": 255},
    ),
]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before", json_schema_extra={"minLength": 1})]
Negatives = Annotated[bool | None, Query(description="true: only images of none of the classes; false: only those of a class")]
Limit = Annotated[int, Query(ge=1, le=1000, description="entries per page")]


@router.post(
    "",
    dependencies=needs("write") + audited("task.create"),
    status_code=201,
    summary="Create a task from labelled images",
    responses={
        201: answered(ChangedTaskReply, "The task, ready to predict", location="the task"),
        **documented(*_SUPPORT_ERRORS, TooFewClasses, NotForSeveralLabels),
    },
    openapi_extra=TASK_BODY,
)
async def create(request: Request, caller: Calling, service: Served, idempotency_key: IdempotencyKey = None) -> Response:
    """At least two classes with one image each; 5 to 20 images per class recognise best.

    Multipart: files `images` and texts `labels`, equally many, in the same order. Or one file `archive`, a zip with a folder
    per class. With either, files `negatives`: images of none of the classes, by which strangers are told. Or JSON with base64
    images, where the label of such an image is null.

    With `label_mode` `multiple`, an image may have any number of labels, and one label is enough for a task. In JSON each example
    then has `labels`; each text `labels` of a form is a JSON list; an image that lies in several folders of an archive, the same
    bytes, has all their labels.

    `classes` names classes, in a form as a JSON list. Where the backbone reads text, they need no image: the names answer until
    each class has one, and help afterwards as far as leave-one-out finds that they do.
    """
    caller.check_unbound()
    asked = await read_task(request, service)
    capture = asked.capture.given()
    further = [*([capture] if capture else []), *([asked.label_mode] if asked.label_mode != "single" else [])]
    further += [asked.classes] if asked.classes else []
    purpose = json.dumps(["create", asked.name, asdict(asked.options), *further])
    setting = CaptureSetting(**capture) if capture else None
    return await create_once(
        service,
        caller.tenant,
        idempotency_key,
        purpose,
        asked.examples,
        lambda kept: while_connected(
            request,
            adapt.create_task(
                service,
                caller.tenant,
                asked.name,
                asked.options,
                asked.examples,
                kept,
                setting,
                asked.label_mode,
                asked.classes,
            ),
        ),
        partial(changed_task_again, service, caller.tenant),
        _location,
    )


@router.get(
    "",
    dependencies=needs("predict"),
    summary="List tasks, newest first",
    responses={200: answered(TaskPage, "A page of tasks"), **documented(InvalidRequest, StorageFailed)},
)
async def list_tasks(caller: Calling, service: Served, cursor: Cursor = None, limit: Limit = 50) -> Response:
    tasks, next_cursor = await service.pools.in_thread(service.store.tasks.page, caller.tenant, cursor, limit, caller.task)
    return reply(TaskPage(tasks=[task_reply(task) for task in tasks], next_cursor=next_cursor))


@router.get(
    "/{task}",
    dependencies=needs("predict"),
    summary="Show a task",
    responses={200: answered(TaskReply, "The task"), **documented(TaskNotFound, StorageFailed)},
)
async def show(task: str, caller: Calling, service: Served) -> Response:
    return reply(task_reply(await service.pools.in_thread(service.store.tasks.get, caller.task_key(task))))


@router.patch(
    "/{task}",
    dependencies=needs("write") + audited("task.change"),
    summary="Rename a task, roll it back to another version, or set what it captures",
    responses={
        200: answered(TaskReply, "The task as it is now"),
        **documented(TaskNotFound, VersionNotFound, *_BODY_ERRORS, StorageFailed),
    },
    openapi_extra=PATCH_BODY,
)
async def change(task: str, request: Request, caller: Calling, service: Served) -> Response:
    """Rolling back takes effect with the answer. No version is lost: any can be made active again."""
    wanted = await read_json(request, service, TaskPatch)
    capture = wanted.capture.given() if wanted.capture else None
    if wanted.name is None and wanted.active_version is None and not capture:
        raise InvalidRequest("nothing to change; give name, active_version, capture or several of them")
    doing(*_deeds(task, wanted))
    change = partial(service.store.tasks.change, caller.task_key(task), name=wanted.name, version=wanted.active_version)
    changed = await service.pools.in_writer(change, capture=capture)
    if capture:
        service.captures.sweep_soon()  # There may be more than the new limit.
    return reply(task_reply(changed))


@router.delete(
    "/{task}",
    dependencies=needs("manage") + audited("task.delete"),
    status_code=204,
    summary="Remove a task with all its images and versions",
    responses={204: {"description": "Gone"}, **documented(TaskNotFound, StorageFailed, ErasurePending)},
)
async def delete(task: str, caller: Calling, service: Served) -> Response:
    """When the answer comes, no file of the server holds a byte of its images."""
    await delete_task(service, caller.task_key(task))
    return Response(status_code=204)


@router.get(
    "/{task}/versions",
    dependencies=needs("predict"),
    summary="The history of a task, newest first",
    responses={200: answered(VersionPage, "Every version"), **documented(TaskNotFound, StorageFailed)},
)
async def versions(task: str, caller: Calling, service: Served) -> Response:
    found = await service.pools.in_thread(service.store.tasks.versions, caller.task_key(task))
    return reply(VersionPage(versions=[version_reply(version) for version in found]))


@router.get(
    "/{task}/examples",
    dependencies=needs("write"),
    summary="The support set of the active version, oldest first",
    responses={200: answered(ExamplePage, "A page of examples"), **documented(TaskNotFound, InvalidRequest, StorageFailed)},
)
async def examples(
    task: str, caller: Calling, service: Served, cursor: Cursor = None, limit: Limit = 100, negatives: Negatives = None
) -> Response:
    key = caller.task_key(task)
    found, next_cursor = await service.pools.in_thread(service.store.examples.page, key, cursor, limit, negatives)
    return reply(ExamplePage(examples=[example_reply(example) for example in found], next_cursor=next_cursor))


@router.post(
    "/{task}/examples",
    dependencies=needs("write") + audited("examples.add"),
    status_code=201,
    summary="Add labelled images: a new version, active in the answer",
    responses={
        201: answered(ChangedTaskReply, "The task in its new version", location="the task"),
        **documented(TaskNotFound, *_SUPPORT_ERRORS, Conflict, BackboneUnavailable),
    },
    openapi_extra=EXAMPLES_BODY,
)
async def add(task: str, request: Request, caller: Calling, service: Served, idempotency_key: IdempotencyKey = None) -> Response:
    """The same bodies as creation, without name and options. A label that is new to the task is a new class."""
    # An unknown task is answered before its body is read.
    active = await service.pools.in_thread(service.store.active.get, caller.task_key(task))
    added = await read_examples(request, service, active.labels)
    return await create_once(
        service,
        caller.tenant,
        idempotency_key,
        json.dumps(["add", task]),
        added,
        lambda kept: while_connected(request, adapt.add_examples(service, caller.task_key(task), added, kept)),
        partial(changed_task_again, service, caller.tenant),
        _location,
    )


@router.patch(
    "/{task}/examples/{example}",
    dependencies=needs("write") + audited("example.relabel"),
    summary="Give an example another label, or none: a new version, active in the answer",
    responses={
        200: answered(ChangedTaskReply, "The task in its new version, or as it is if the example has that label already"),
        **documented(
            TaskNotFound,
            ExampleNotFound,
            *_BODY_ERRORS,
            InvalidLabel,
            LimitExceeded,
            TooFewClasses,
            Conflict,
            BackboneUnavailable,
            StorageFailed,
            StoredQuotaExceeded,
        ),
    },
    openapi_extra=EXAMPLE_PATCH_BODY,
)
async def relabel(task: str, example: str, request: Request, caller: Calling, service: Served) -> Response:
    """In the new version the image has an id of its own, which begins with the one that it had. Versions before this one keep the
    example under its old label. Forgetting either id forgets the image.
    """
    wanted = await read_json(request, service, ExamplePatch)
    label = label_in(wanted.label, wanted.labels)
    return reply(await while_connected(request, relabel_example(service, caller.task_key(task), example, label)))


@router.delete(
    "/{task}/examples/{example}",
    dependencies=needs("write") + audited("example.remove"),
    summary="Remove an example: a new version, active in the answer",
    responses={
        200: answered(ChangedTaskReply, "The task in its new version"),
        **documented(TaskNotFound, ExampleNotFound, TooFewClasses, Conflict, BackboneUnavailable, StorageFailed, ErasurePending),
    },
)
async def remove(
    task: str,
    example: str,
    request: Request,
    caller: Calling,
    service: Served,
    forget: Annotated[bool, Query(description="also remove every version that was fitted with it")] = False,
) -> Response:
    """Versions before this one keep the example, so that they can be returned to, unless it is forgotten: then they go, a
    version without it is active, and when the answer comes, no file of the server holds a byte of its image. An example that
    earlier versions alone have is forgotten with those.
    """
    if forget:
        doing(("example.forget", f"tasks/{task}/examples/{example}"))
        return reply(await forget_example(service, caller.task_key(task), example))
    return reply(await while_connected(request, adapt.remove_example(service, caller.task_key(task), example)))


@router.get(
    "/{task}/examples/{example}/image",
    dependencies=needs("write") + audited("example.image", "access"),
    summary="An example's image, as it was sent",
    response_class=Response,
    responses={
        200: binary("The image", MEDIA_TYPES),
        **documented(TaskNotFound, ExampleNotFound, ImageNotKept, StorageFailed),
    },
)
async def example_image(task: str, example: str, caller: Calling, service: Served) -> Response:
    image, media_type = await service.pools.in_images(service.store.examples.image, caller.task_key(task), example)
    # The bytes are somebody's upload: a browser must not take them for anything but an image.
    return Response(image, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})


def _deeds(task: str, wanted: TaskPatch) -> Iterator[tuple[str, str]]:
    """Yields what the audit tells of a change. The name itself is nothing for it."""
    object_ = f"tasks/{task}"
    if wanted.name is not None:
        yield "task.rename", object_
    if wanted.active_version is not None:
        yield "task.activate", f"{object_}/versions/{wanted.active_version}"
    if wanted.capture:
        yield "task.capture", object_


def _location(task: ChangedTaskReply) -> str:
    return f"{router.prefix}/{task.id}"
