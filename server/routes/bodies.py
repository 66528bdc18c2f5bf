"""Request bodies in all the forms that the API takes: multipart, JSON with base64, raw images, a zip."""

import base64
import binascii
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from models.preprocess import MEDIA_TYPES
from server.archive import read_archive
from server.errors import InvalidRequest, LimitExceeded, UnsupportedMediaType
from server.file_names import clean_file_name
from server.schemas.requests import ExamplesBody, Name, PredictBody, PredictManyBody, TaskBody, TaskOptions
from server.service import Service
from server.support import LabelledImage, clean_label

MULTIPART, JSON = "multipart/form-data", "application/json"
RAW_IMAGES = (*MEDIA_TYPES, "image/heif")

_MOST_TASK_TEXTS = 1000  # of a form: each costs the event loop, and one may name many

_Body = TypeVar("_Body", bound=BaseModel)
_Value = TypeVar("_Value")
_NAME: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What `POST /v1/tasks` asks for, in whichever form it came."""

    name: str | None
    options: TaskOptions
    examples: list[LabelledImage]


@dataclass(frozen=True, slots=True)
class ManyQueries:
    """What `POST /v1/predict` asks for: images, and the ids of tasks."""

    tasks: Literal["all"] | list[str]
    images: list[bytes]


async def read_task(request: Request, service: Service) -> TaskRequest:
    """The body of `POST /v1/tasks`.

    Raises:
        Invalid, TooLarge, UnsupportedMediaType, BodyTimeout: it is none of the documented forms, or over a limit.
    """
    if _media_type(request) == JSON:
        body = await read_json(request, service, TaskBody)
        return TaskRequest(body.name, body.options, await _from_json(body, service))
    async with _form(request, {"images", "labels", "archive", "name", "options"}, service.settings.queue_images) as form:
        name, options = _text(form, "name"), _text(form, "options")
        return TaskRequest(
            name=None if name is None else _valid("name", lambda: _NAME.validate_python(name)),
            options=TaskOptions() if options is None else _valid("options", lambda: TaskOptions.model_validate_json(options)),
            examples=await _from_form(form, service),
        )


async def read_examples(request: Request, service: Service) -> list[LabelledImage]:
    """The body of `POST /v1/tasks/{task}/examples`; raises as `read_task` does."""
    if _media_type(request) == JSON:
        return await _from_json(await read_json(request, service, ExamplesBody), service)
    async with _form(request, {"images", "labels", "archive"}, service.settings.queue_images) as form:
        return await _from_form(form, service)


async def read_queries(request: Request, service: Service) -> list[bytes]:
    """The images of `POST /v1/tasks/{task}/predict`; raises as `read_task` does."""
    media_type = _media_type(request)
    if media_type in RAW_IMAGES:
        return [await request.body()]
    if media_type == JSON:
        body = await read_json(request, service, PredictBody)
        return await _decoded(body.images, service, service.settings.max_images)
    async with _form(request, {"images"}, service.settings.max_images) as form:
        return [await file.read() for file in _files(form, "images")]


async def read_many_queries(request: Request, service: Service, named: list[str] | None) -> ManyQueries:
    """The query and the body of `POST /v1/predict`; raises as `read_task` does.

    Args:
        named: the texts in the query that name tasks; where there are none, the body does.
    """
    media_type = _media_type(request)
    tasks: Literal["all"] | list[str] | None = None
    if media_type in RAW_IMAGES:
        images = [await request.body()]
    elif media_type == JSON:
        body = await read_json(request, service, PredictManyBody)
        tasks, images = body.tasks, await _decoded(body.images, service, service.settings.max_images)
    else:
        async with _form(request, {"images", "tasks"}, service.settings.max_images, _MOST_TASK_TEXTS) as form:
            tasks = _task_ids(_texts(form, "tasks")) if "tasks" in form else None
            images = [await file.read() for file in _files(form, "images")]
    asked = [where for where in (tasks, None if named is None else _task_ids(named)) if where is not None]
    if len(asked) != 1:
        raise InvalidRequest("name the tasks, or all, in one place: ?tasks=, or the body's tasks")
    return ManyQueries(asked[0], images)


async def read_json(request: Request, service: Service, model: type[_Body]) -> _Body:
    """The body as `model`.

    Raises:
        InvalidRequest: it is not JSON, or does not fit.
        UnsupportedMediaType: it does not say that it is JSON.
    """
    if _media_type(request) != JSON:
        raise UnsupportedMediaType(f"send {JSON}, not {_media_type(request) or 'a body without Content-Type'}")
    raw = await request.body()
    return await service.in_thread(_valid, "body", lambda: model.model_validate_json(raw))


async def read_json_if_any(request: Request, service: Service, model: type[_Body]) -> _Body:
    """The body as `model`, or what it is without any; raises as `read_json` does."""
    return await read_json(request, service, model) if await request.body() else model()


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@asynccontextmanager
async def _form(request: Request, fields: set[str], most_images: int, most_texts: int | None = None) -> AsyncIterator[FormData]:
    """A multipart body of these fields; unless it says how many texts it may have, a few more than images."""
    media_type = _media_type(request)
    if media_type != MULTIPART:
        raise UnsupportedMediaType(f"send {MULTIPART} or {JSON}, not {media_type[:100] or 'a body without Content-Type'}")
    most = most_images + 1
    try:
        form = await request.form(max_files=most, max_fields=most_texts or most + len(fields))
    except HTTPException as error:
        if most_texts and "Too many fields" in str(error.detail):
            raise LimitExceeded("texts in this form, at least", most_texts + 1, most_texts) from error
        if "Too many" in str(error.detail):
            raise LimitExceeded("images or labels in this request, at least", most, most_images) from error
        raise InvalidRequest(f"the multipart body is malformed: {error.detail}") from error
    except UnicodeError as error:
        raise InvalidRequest("the multipart body is malformed: its charset is unknown") from error
    try:
        if unknown := sorted(form.keys() - fields):
            raise InvalidRequest(f"unknown field {unknown[0][:100]!r}; known: {', '.join(sorted(fields))}")
        yield form
    finally:
        await form.close()


async def _from_form(form: FormData, service: Service) -> list[LabelledImage]:
    if "archive" in form:
        if "images" in form or "labels" in form:
            raise InvalidRequest("send either an archive, or images with labels")
        archives = _files(form, "archive")
        if len(archives) > 1:
            raise InvalidRequest("send one archive")
        return await service.in_thread(read_archive, archives[0].file, service.settings)
    files, labels = _files(form, "images"), _texts(form, "labels")
    if len(files) != len(labels):
        raise InvalidRequest(f"{len(files)} images but {len(labels)} labels; send one label per image, in the same order")
    cleaned = [clean_label(label) for label in labels]
    return [
        LabelledImage(label, await file.read(), clean_file_name(file.filename))
        for label, file in zip(cleaned, files, strict=True)
    ]


async def _from_json(body: TaskBody | ExamplesBody, service: Service) -> list[LabelledImage]:
    images = await _decoded([example.image for example in body.examples], service, service.settings.queue_images)
    return [
        LabelledImage(clean_label(example.label), image, clean_file_name(example.file_name, folders=True))
        for example, image in zip(body.examples, images, strict=True)
    ]


async def _decoded(images: list[str], service: Service, most: int) -> list[bytes]:
    if len(images) > most:
        raise LimitExceeded("images in this request", len(images), most)
    return await service.in_thread(lambda: [_from_base64(image, position) for position, image in enumerate(images)])


def _from_base64(text: str, position: int) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"image {position + 1} is not base64") from error


def _task_ids(texts: list[str]) -> Literal["all"] | list[str]:
    """Ids separated by commas, in one text or several; or all."""
    ids = [id_.strip() for text in texts for id_ in text.split(",") if id_.strip()]
    return "all" if ids == ["all"] else ids


def _files(form: FormData, field: str) -> list[UploadFile]:
    files = [value for value in form.getlist(field) if isinstance(value, UploadFile)]
    if len(files) != len(form.getlist(field)):
        raise InvalidRequest(f"{field} must be files; with curl: -F {field}=@FILE")
    return files


def _texts(form: FormData, field: str) -> list[str]:
    texts = [value for value in form.getlist(field) if isinstance(value, str)]
    if len(texts) != len(form.getlist(field)):
        raise InvalidRequest(f"{field} must be texts, not files")
    return texts


def _text(form: FormData, field: str) -> str | None:
    value = form.get(field)
    if isinstance(value, UploadFile):
        raise InvalidRequest(f"{field} must be a text, not a file")
    return value


def _valid(what: str, parse: Callable[[], _Value]) -> _Value:
    try:
        return parse()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (what, *problem["loc"])))
        raise InvalidRequest(f"{where}: {problem['msg']}") from error
