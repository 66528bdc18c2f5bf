"""`/v2`: the Open Inference Protocol. Every task is a model, and every open bundle.

The protocol has a document of its own, so that these routes are not in ours:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_rest.yaml
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version as release_of
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec.json import encode

from server.audit import doing, making
from server.errors import HeadstartError, InvalidRequest
from server.http.audited import audited
from server.http.callers import Caller, Calling, needs
from server.http.dependencies import Served, while_connected
from server.http.open_inference.asking import answer, classified_tensor, embedding_tensor, read_asked
from server.http.open_inference.documents import EXTENSIONS, PLATFORM, READY, index_entry, statistics
from server.http.open_inference.models import (
    ModelName,
    find_model,
    model_name,
    name_of_embedding,
    names_of_task,
    version_number,
    version_of_bundle,
)
from server.http.open_inference.objects import IndexBody, LoadBody, read_object
from server.http.routes.health import health_of
from server.inference_counts import Counts, ModelVersion
from server.journeys.active_task import find_task
from server.journeys.infer import classify_tensors, embed_tensors
from server.journeys.predict_many import find_tasks
from server.metrics import Stopwatch
from server.service import Service

router = APIRouter(prefix="/v2", include_in_schema=False)

_MISSING = "the bundle that its task was made with is not on this server"
_CLOSED = "its bundle is not open"
_INFER = needs("predict") + audited("task.predict", "use")


@router.post("/models/{model}/infer", dependencies=_INFER)
@router.post("/models/{model}/versions/{version}/infer", dependencies=_INFER)
async def infer(model: str, request: Request, caller: Calling, service: Served, version: str = "") -> Response:
    """Recognises or embeds images. One that cannot be read refuses the request: a tensor has no room for an error."""
    name = model_name(model)
    name.check(caller)
    ask = _ask_bundle if name.kind == "embedding" else _ask_task
    return await ask(name, version, request, caller, service)


async def _ask_task(name: ModelName, version: str, request: Request, caller: Caller, service: Service) -> Response:
    making(name.path)
    number, key = version_number(version), caller.task_key(name.id)
    task = await find_task(service, key, "ignore", version=number)
    with _counting(service, ModelVersion(caller.tenant, name.text, str(task.version))) as counting:
        asked = await read_asked(request, service, name)
        if asked.judges:
            task = await find_task(service, key, "judge", version=number)
        watch = Stopwatch(service.metrics)
        classified = await while_connected(request, classify_tensors(service, task, asked.images, watch))
        answered = await answer(
            service,
            asked,
            name,
            str(task.version),
            classified.probabilities.size,
            lambda output: classified_tensor(output, task.head.labels, classified),
        )
        counting(len(classified.probabilities), watch)
    return answered


async def _ask_bundle(name: ModelName, version: str, request: Request, caller: Caller, service: Service) -> Response:
    doing(("backbone.embed", name.path))
    found = (await find_model(service, caller, name.text, version)).version
    with _counting(service, ModelVersion(caller.tenant, name.text, found)) as counting:
        asked = await read_asked(request, service, name)
        watch = Stopwatch(service.metrics)
        embeddings = await while_connected(request, embed_tensors(service, name.id, asked.images, watch))
        answered = await answer(service, asked, name, found, embeddings.size, lambda _output: embedding_tensor(embeddings))
        counting(len(embeddings), watch)
    return answered


@contextmanager
def _counting(service: Service, model: ModelVersion) -> Iterator[Callable[[int, Stopwatch], None]]:
    """Counts the request that the block answers. Call what it yields, once it is answered, with the number of its images."""
    try:
        yield lambda images, watch: service.inferred.answered(model, images, watch.milliseconds())
    except HeadstartError:
        service.inferred.failed(model)
        raise


@router.get("/health/live", dependencies=needs("open"))
async def live() -> Response:
    """Says also that it is ready, as one version of the specification has it."""
    return _shown({"live": True, "ready": True})


@router.get("/health/ready", dependencies=needs("open"))
async def ready(caller: Calling, service: Served) -> Response:
    """Looks as `/readyz` does. Says also that it is live, as another version of the specification has it."""
    _, able = await health_of(service, caller)
    return _shown({"live": True, "ready": able}, 200 if able else 503)


@router.get("", dependencies=needs("predict"))
async def server() -> Response:
    return _shown({"name": PLATFORM, "version": release_of("headstart-server"), "extensions": EXTENSIONS})


@router.get("/models/{model}", dependencies=needs("predict"))
@router.get("/models/{model}/versions/{version}", dependencies=needs("predict"))
async def metadata(model: str, caller: Calling, service: Served, version: str = "") -> Response:
    return _shown((await find_model(service, caller, model, version)).metadata())


@router.get("/models/{model}/config", dependencies=needs("predict"))
@router.get("/models/{model}/versions/{version}/config", dependencies=needs("predict"))
async def config(model: str, caller: Calling, service: Served, version: str = "") -> Response:
    found = await find_model(service, caller, model, version)
    return _shown(found.config(service.settings.max_images))


@router.get("/models/{model}/ready", dependencies=needs("predict"))
@router.get("/models/{model}/versions/{version}/ready", dependencies=needs("predict"))
async def model_ready(model: str, caller: Calling, service: Served, version: str = "") -> Response:
    found = await find_model(service, caller, model, version)
    return _shown({"name": model, "ready": found.servable}, 200 if found.servable else 503)


@router.get("/models/stats", dependencies=needs("predict"))
async def all_statistics(caller: Calling, service: Served) -> Response:
    """Tells of the models that were asked since the start, and are still there."""
    counts = service.inferred.of(caller.tenant)
    tasks = {name.id for each in counts if (name := model_name(each.model)).kind != "embedding"}
    there = await service.pools.in_thread(service.store.active.get_many, caller.tenant, sorted(tasks))
    shown = [
        statistics(each, of_model)
        for each, of_model in sorted(counts.items())
        if ((name := model_name(each.model)).kind == "embedding" or name.id in there) and caller.task in {None, name.id}
    ]
    return _shown({"model_stats": shown})


@router.get("/models/{model}/stats", dependencies=needs("predict"))
@router.get("/models/{model}/versions/{version}/stats", dependencies=needs("predict"))
async def model_statistics(model: str, caller: Calling, service: Served, version: str = "") -> Response:
    """Tells of the version that is named; else of all that were asked, and in any case of the one that answers now."""
    found = await find_model(service, caller, model, version)
    answering = ModelVersion(caller.tenant, model, found.version)
    counts = {answering: Counts()} | service.inferred.of(caller.tenant, model)
    shown = [statistics(each, of_model) for each, of_model in sorted(counts.items()) if version in {"", each.version}]
    return _shown({"model_stats": shown})


@router.post("/repository/index", dependencies=needs("predict") + audited("tasks.list", "use"))
async def index(request: Request, caller: Calling, service: Served) -> Response:
    """Lists every model with the version that answers. The body may be empty, as clients send it."""
    wanted = await read_object(request, IndexBody)
    tasks = await find_tasks(service, caller.tenant, caller.within("all"))
    servable = await service.backbones.servable()
    bundles = sorted({backbone.bundle for backbone in servable}) if caller.task is None else []
    open_ids = service.backbones.open_ids

    def entries() -> bytes:
        listed = [
            index_entry(name, str(active.version), "" if active.backbone in servable else _MISSING)
            for task, active in tasks
            for name in names_of_task(task)
        ]
        listed += [
            index_entry(name_of_embedding(id_), version_of_bundle(id_), "" if id_ in open_ids else _CLOSED) for id_ in bundles
        ]
        return encode([entry for entry in listed if entry["state"] == READY or not wanted.ready])

    return Response(await service.pools.in_thread(entries), media_type="application/json")


@router.post("/repository/models/{model}/load", dependencies=needs("predict") + audited("task.load", "use"))
async def load(model: str, request: Request, caller: Calling, service: Served) -> Response:
    """Answers once a model can be asked without waiting for its backbone. A bundle is opened for its tasks alone."""
    if (await read_object(request, LoadBody)).parameters:
        raise InvalidRequest("a model is its task as it is: it is loaded without parameters")
    name = model_name(model)
    name.check(caller)
    if name.kind == "embedding":
        doing(("backbone.load", name.path))
        await find_model(service, caller, model, "")
    else:
        making(name.path)
        task = await find_task(service, caller.task_key(name.id))
        async with service.backbones.use(task.head.backbone):
            pass
    return Response(media_type="application/json")


@router.post("/repository/models/{model}/unload", dependencies=needs("predict") + audited("task.unload", "use"))
async def unload(model: str, caller: Calling, service: Served) -> Response:
    """Refuses. What is not asked leaves memory by itself, and a client that unloads is promised that nobody is answered."""
    making(model_name(model).path)
    await find_model(service, caller, model, "")
    raise InvalidRequest("a model stays loaded as long as its task is there, or its bundle is open")


def _shown(document: dict[str, Any], status: int = 200) -> Response:
    return Response(encode(document), status, media_type="application/json")
