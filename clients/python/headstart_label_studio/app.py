"""The application that Label Studio calls: `/health`, `/setup`, `/predict` and `/webhook`."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from headstart import Client, HeadstartError
from headstart_label_studio.images import Images, ImageUnavailable
from headstart_label_studio.labelling import Labelling, read_labelling
from headstart_label_studio.projects import Annotated, Projects

_log = logging.getLogger(__name__)

_MOST_BYTES = 64_000_000
Json = dict[str, Any]


def create_app(client: Client, images: Images) -> Starlette:
    """Returns the application, which closes both when it ends."""
    projects = Projects(client, images)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        client.close()
        images.close()

    def answering(work: Callable[[Projects, Json], Json]) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def answer(request: Request) -> JSONResponse:
            # Label Studio waits a second for the answer to a webhook. The work goes on whether it does or not.
            return JSONResponse(await run_in_threadpool(_done, work, projects, await _body(request)))

        return answer

    routes = [
        Route("/", _health),
        Route("/health", _health),
        Route("/setup", answering(_setup), methods=["POST"]),
        Route("/predict", answering(_predict), methods=["POST"]),
        Route("/webhook", answering(_webhook), methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refusal})


async def _health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "UP", "model_class": "Headstart"})


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _body(request: Request) -> Json:
    if "origin" in request.headers:  # Label Studio sends none. A page in a browser does, wherever it pretends to come from.
        raise HTTPException(403, "this is not for web pages")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise HTTPException(413, f"the body has more than {_MOST_BYTES} bytes")
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise HTTPException(400, "the body is no JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is no JSON object")
    return body


def _done(work: Callable[[Projects, Json], Json], projects: Projects, body: Json) -> Json:
    try:
        return work(projects, body)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        _log.warning("this is not what Label Studio sends: %r", error)
        raise HTTPException(400, f"this is not what Label Studio sends: {error!r}") from error
    except (HeadstartError, ImageUnavailable) as error:
        _log.warning("%s", error)
        raise HTTPException(502, str(error)) from error


def _setup(projects: Projects, body: Json) -> Json:
    read_labelling(body["schema"])
    return {"model_version": projects.version(body["project"])}


def _predict(projects: Projects, body: Json) -> Json:
    labelling = read_labelling(body["label_config"])
    addresses = [task["data"].get(labelling.field) for task in body["tasks"]]
    results, version = projects.predict(body["project"], labelling, addresses)
    return {"results": results, "model_version": version}


def _webhook(projects: Projects, body: Json) -> Json:
    match body["action"]:
        case "ANNOTATION_CREATED" | "ANNOTATIONS_CREATED":
            projects.add(_uid(body), labelling := _labelling(body), _annotated(body, labelling))
        case "ANNOTATION_UPDATED":
            labelling = _labelling(body)
            for annotation in _annotated(body, labelling):
                projects.change(_uid(body), labelling, annotation)
        case "ANNOTATIONS_DELETED":
            projects.remove(_uid(body), [each["id"] for each in body["annotations"]])
        case _:
            return {"status": "ignored"}
    return {"status": "learned"}


def _labelling(body: Json) -> Labelling:
    return read_labelling(body["project"]["label_config"])


def _uid(body: Json) -> str:
    """Returns what `/setup` and `/predict` call the project of a webhook."""
    project = body["project"]
    return f"{project['id']}.{int(datetime.fromisoformat(project['created_at']).timestamp())}"


def _annotated(body: Json, labelling: Labelling) -> Iterator[Annotated]:
    """Yields the annotations of a webhook, which has one with its task, or a list of each."""
    annotations, tasks = body["annotation"], body["task"]
    pairs = zip(annotations, tasks, strict=True) if isinstance(annotations, list) else [(annotations, tasks)]
    for annotation, task in pairs:
        yield Annotated(annotation["id"], labelling.chosen(annotation), task["data"].get(labelling.field))
