"""Requests with images, in all the forms that the API takes: multipart, JSON with base64, raw images, a zip."""

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
from fastapi import Request

from models.images.preprocess import MEDIA_TYPES
from server.errors import InvalidRequest, LimitExceeded
from server.http.bodies.archive import Archive, TaskDescription, read_archive
from server.http.bodies.content import JSON, MOST_COMMAS, MULTIPART, WITH_TASKS, media_type, read_bytes, read_json
from server.http.bodies.file_names import clean_file_name
from server.http.bodies.forms import Form, read_form
from server.http.bodies.labels import by_image, label_in, label_of_text
from server.journeys.support_set import LabelledImage, clean_label
from server.schemas.dialects import PipelineBody
from server.schemas.requests import (
    CaptureOptions,
    ExampleBody,
    ExamplesBody,
    PredictBody,
    PredictManyBody,
    TaskBody,
    TaskOptions,
    clean_name,
)
from server.service import Service
from server.store.records import LabelMode

# What one image comes as: an image tells by its content what it is, and many senders cannot.
RAW_IMAGES = (*MEDIA_TYPES, "image/heif", "image/jpg", "application/octet-stream")
_RAW = frozenset(
    {*RAW_IMAGES, "image/pjpeg", "image/x-png", "image/heic-sequence", "image/heif-sequence", "binary/octet-stream", ""}
)

_MOST_TASK_TEXTS = 1000  # of a form: each costs the event loop, and one may name many
_Json = TypeVar("_Json", TaskOptions, CaptureOptions, list[str])

_WHITESPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """The request of `POST /v1/tasks`, in whichever form it came."""

    name: str | None
    options: TaskOptions
    capture: CaptureOptions
    label_mode: LabelMode
    examples: list[LabelledImage]
    classes: list[str]


@dataclass(frozen=True, slots=True)
class ManyQueries:
    """The request of `POST /v1/predict`: images, and the ids of tasks."""

    tasks: Literal["all"] | list[str]
    images: list[bytes]


async def read_task(request: Request, service: Service) -> TaskRequest:
    """Returns the body of `POST /v1/tasks`.

    Raises:
        Invalid, TooLarge, UnsupportedMediaType, BodyTimeout: it is none of the documented forms, or over a limit.
    """
    if media_type(request) == JSON:
        body = await read_json(request, service, TaskBody, service.settings.max_body_bytes)
        classes = await _class_names(body.classes, service)
        examples = await _from_json(body.examples, service)
        return TaskRequest(body.name, body.options, body.capture, body.label_mode, examples, classes)
    form = await _support_form(request, service, "name", "options", "capture", "label_mode", "classes")
    name, options, capture, mode = (form.text(field) for field in ("name", "options", "capture", "label_mode"))
    told = None if mode is None else _label_mode(mode)
    archive = await _archive(form, service, told)
    described = archive.task if archive else TaskDescription()
    named = form.text("classes")
    label_mode = told or described.labels
    return TaskRequest(
        name=None if name is None else _name(name),
        options=described.options if options is None else _from_text("options", options, TaskOptions),
        capture=CaptureOptions() if capture is None else _from_text("capture", capture, CaptureOptions),
        label_mode=label_mode,
        examples=await _from_form(form, archive, service, label_mode),
        classes=await _class_names(described.named if named is None else _from_text("classes", named, list[str]), service),
    )


async def read_examples(request: Request, service: Service, mode: LabelMode) -> list[LabelledImage]:
    """Returns the body of `POST /v1/tasks/{task}/examples`; raises as `read_task` does.

    Args:
        mode: of the task.
    """
    if media_type(request) == JSON:
        body = await read_json(request, service, ExamplesBody, service.settings.max_body_bytes)
        return await _from_json(body.examples, service)
    form = await _support_form(request, service, "label_mode")
    if (told := form.text("label_mode")) is not None and _label_mode(told) != mode:
        raise InvalidRequest(f"label_mode is {told}, and this task's is {mode}")
    return await _from_form(form, await _archive(form, service, mode), service, mode)


async def read_queries(request: Request, service: Service) -> list[bytes]:
    """Returns the images of `POST /v1/tasks/{task}/predict`; raises as `read_task` does."""
    if _is_raw_image(request):
        return [await read_bytes(request)]
    if media_type(request) == JSON:
        body = await read_json(request, service, PredictBody, service.settings.max_body_bytes)
        return await _decoded(body.images, service, service.settings.max_images)
    form = await read_form(request, {"images"}, service.settings.max_images, 1)
    return [file.content.getvalue() for file in form.files("images")]


async def read_pipeline_input(request: Request, service: Service) -> tuple[bytes, int | None]:
    """Returns the image of `POST /v1/tasks/{task}/hf`, and how many labels to score; raises as `read_task` does.

    A body is the image unless it is JSON: Hugging Face's clients take its type from the file's name, or name none.
    """
    if media_type(request) != JSON:
        return await read_bytes(request), None
    body = await read_json(request, service, PipelineBody, service.settings.max_body_bytes)
    image = await service.pools.in_thread(_from_base64, body.inputs, "inputs")
    return image, body.parameters.top_k


async def read_image_data(request: Request) -> list[bytes]:
    """Returns the image of Custom Vision's `…/image`, or nothing if its form has none; raises as `read_task` does."""
    if media_type(request) != MULTIPART:
        return [await read_bytes(request)]
    form = await read_form(request, {"imageData"}, 1, 1)
    return [file.content.getvalue() for file in form.files("imageData")]


async def read_many_queries(request: Request, service: Service, named: list[str] | None) -> ManyQueries:
    """Returns the query and the body of `POST /v1/predict`; raises as `read_task` does.

    Args:
        named: the texts in the query that name tasks; where there are none, the body does.
    """
    tasks: Literal["all"] | list[str] | None = None
    if _is_raw_image(request):
        images = [await read_bytes(request)]
    elif media_type(request) == JSON:
        body = await read_json(request, service, PredictManyBody, service.settings.max_body_bytes)
        tasks, images = body.tasks, await _decoded(body.images, service, service.settings.max_images)
    else:
        form = await read_form(request, {"images", "tasks"}, service.settings.max_images, _MOST_TASK_TEXTS)
        tasks = _task_ids(form.texts("tasks")) if "tasks" in form else None
        images = [file.content.getvalue() for file in form.files("images")]
    asked = [where for where in (tasks, None if named is None else _task_ids(named)) if where is not None]
    if len(asked) != 1:
        raise InvalidRequest("name the tasks, or all, in one place: ?tasks=, or the body's tasks")
    return ManyQueries(asked[0], images)


def _is_raw_image(request: Request) -> bool:
    return media_type(request) in _RAW


async def _support_form(request: Request, service: Service, *further: str) -> Form:
    most = service.settings.queue_images
    return await read_form(request, {"images", "labels", "archive", "negatives", *further}, most, most + 1 + len(further))


async def _archive(form: Form, service: Service, mode: LabelMode | None) -> Archive | None:
    if "archive" not in form:
        return None
    if "images" in form or "labels" in form:
        raise InvalidRequest("send either an archive, or images with labels")
    if len(archives := form.files("archive")) > 1:
        raise InvalidRequest("send one archive")
    return await service.pools.in_thread(read_archive, archives[0].content, service.settings, mode)


async def _from_form(form: Form, archive: Archive | None, service: Service, mode: LabelMode) -> list[LabelledImage]:
    """Returns the images with a class, and then those without."""
    none = () if mode == "multiple" else None
    negatives = [LabelledImage(none, file.content.getvalue(), clean_file_name(file.name)) for file in form.files("negatives")]
    if archive is not None:
        return [*(by_image(archive.images) if mode == "multiple" else archive.images), *negatives]
    return [*await _of_classes(form, service, mode), *negatives]


async def _of_classes(form: Form, service: Service, mode: LabelMode) -> list[LabelledImage]:
    files, labels = form.files("images"), form.texts("labels")
    if len(files) != len(labels):
        raise InvalidRequest(f"{len(files)} images but {len(labels)} labels; send one label per image, in the same order")
    # On a thread, since each may be as many as an image may have.
    cleaned = await service.pools.in_thread(lambda: [label_of_text(label, mode) for label in labels])
    return [
        LabelledImage(label, file.content.getvalue(), clean_file_name(file.name))
        for label, file in zip(cleaned, files, strict=True)
    ]


async def _from_json(examples: Sequence[ExampleBody], service: Service) -> list[LabelledImage]:
    labels = await service.pools.in_thread(lambda: [label_in(example.label, example.labels) for example in examples])
    images = await _decoded([example.image for example in examples], service, service.settings.queue_images)
    return [
        LabelledImage(label, image, clean_file_name(example.file_name, folders=True))
        for label, image, example in zip(labels, images, examples, strict=True)
    ]


async def _class_names(raw: Sequence[str], service: Service) -> list[str]:
    """Returns the names, cleaned as labels are, each once."""
    if len(raw) > service.settings.max_classes:
        raise LimitExceeded("classes of this task", len(raw), service.settings.max_classes)
    return await service.pools.in_thread(lambda: list(dict.fromkeys(map(clean_label, raw)))) if raw else []


async def _decoded(images: Sequence[str], service: Service, most: int) -> list[bytes]:
    if len(images) > most:
        raise LimitExceeded("images in this request", len(images), most)
    return await service.pools.in_thread(
        lambda: [_from_base64(image, f"image {position + 1} of {len(images)}") for position, image in enumerate(images)]
    )


def _from_base64(text: str, where: str) -> bytes:
    """Returns the decoded bytes. The text may be a `data:` address (RFC 2397) and have line breaks (RFC 2045)."""
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            raise InvalidRequest(f"{where} is a data: address without ;base64")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(None, _WHITESPACE), strict_mode=True)
    except ValueError as error:
        raise InvalidRequest(f"{where} is not base64") from error


def _task_ids(texts: list[str]) -> Literal["all"] | list[str]:
    """Ids separated by commas, in one text or several; or all.

    Raises:
        LimitExceeded: they are as many as no JSON body may name.
    """
    if (size := sum(map(len, texts))) > WITH_TASKS:
        raise LimitExceeded("bytes of the tasks' ids", size, WITH_TASKS)
    if (commas := sum(text.count(",") for text in texts)) > MOST_COMMAS:
        raise LimitExceeded("commas between the tasks' ids", commas, MOST_COMMAS)
    ids = [id_.strip() for text in texts for id_ in text.split(",") if id_.strip()]
    return "all" if ids == ["all"] else ids


def _label_mode(raw: str) -> LabelMode:
    if raw == "single":
        return "single"
    if raw == "multiple":
        return "multiple"
    raise InvalidRequest(f"label_mode is single or multiple, not {raw!r}")


def _name(raw: str) -> str:
    try:
        return clean_name(raw)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _from_text(name: str, raw: str, model: type[_Json]) -> _Json:
    try:
        return msgspec.json.decode(raw, type=model)
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}") from error
