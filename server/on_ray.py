"""The server as an application of Ray Serve, for who runs Ray already.

    serve run server.on_ray:application database_url=postgresql://headstart@db/headstart

`Api` is the server with all its routes, its store and its heads. Its batchers make batches of all tasks' images, as everywhere.
`Engines` embeds them: a call of it is a batch, and is routed by bundle. So Serve never sees a task, and no task splits a batch.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import ray
from pydantic import ValidationError
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle, DeploymentResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from threadpoolctl import threadpool_limits

from models.arrays import on_host
from models.bundle import DEFAULT_BUNDLE, Bundle, BundleError
from models.engine import Engine, EngineError, EngineKind, file_of, keep_freed_memory_together, open_engine, release_memory
from models.heads.head import EmbeddingSpace, Float32
from models.images.preprocess import Pixels
from server.app import create_app
from server.engine import folders
from server.engine.batcher import Batcher
from server.engine.shared.handshake import Wanted
from server.errors import EngineFailed
from server.logs import configure_logging
from server.metrics import Metrics
from server.settings import InvalidSettings, Settings
from server.starting import collect_less, put_event_loop_first

_log = logging.getLogger(__name__)

_BATCHES = 4  # of an `Api` replica that are under way, and of an `Engines` replica: one is embedded, and the others make the next
_BUNDLES = 4  # that an `Engines` replica has open at once
_REQUESTS = 4096  # of an `Api` replica. The server refuses what is too much, in its own words.
_OPENING_SECONDS = 300.0
_UNBOUNDED = 2**62  # Those who send images admit them.
_ANYWHERE = "0.0.0.0"  # noqa: S104 -- Serve's proxy may listen at any address, so keys are needed, or `insecure`
_OF_SERVE = frozenset({
    "port", "ssl_certfile", "ssl_keyfile", "workers", "shared_engine", "fit_device", "keep_alive", "header_timeout",
    "max_connections", "drain_seconds", "shutdown_timeout",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Terms:
    """The answer of a replica that was asked for an engine.

    Attributes:
        kind: of the engine that runs.
        max_batch: of it.
        problem: why it cannot be run there; None if it can.
    """

    kind: EngineKind
    max_batch: int = 0
    problem: str | None = None


class RemoteBackbone:
    """A bundle's backbone in the replicas of `Engines`, with the interface of `models.engine.Engine`.

    A batch is sent once more if its replica ends: embedding changes nothing.

    Args:
        engines: the deployment.
        seconds: the longest wait for a batch.

    Raises:
        EngineError: the backbone cannot be run there.
    """

    parallel = _BATCHES
    device: Any = None

    def __init__(self, engines: DeploymentHandle, seconds: float, bundle: Bundle, kind: EngineKind) -> None:
        self._seconds = seconds
        try:
            if kind == "auto":  # Replicas may be on different machines, and all must run the same file.
                kind = _agreed(engines.choose.remote(Wanted.of(bundle, kind))).kind
            self._engines = engines.options(multiplexed_model_id=_model_of(Wanted.of(bundle, kind)))
            terms = _agreed(self._engines.open.remote())
        except (ray.exceptions.RayError, TimeoutError) as error:
            raise EngineError("no replica could open it", error) from error
        self.kind: EngineKind = kind
        self.max_batch = terms.max_batch
        self.space: EmbeddingSpace = bundle.space(file_of(kind))

    def embed(self, pixels: Pixels) -> Float32:
        """Returns the embeddings (N, D) of images (N, H, W, 3). Blocks. Raises EngineFailed."""
        for may_try_again in (True, False):
            response = self._engines.embed.remote(pixels)
            try:
                embeddings: Float32 = response.result(timeout_s=self._seconds)
                return embeddings
            except TimeoutError as error:
                response.cancel()
                raise EngineFailed("no replica embedded the images in time; try again") from error
            except ray.exceptions.RayError as error:
                if not may_try_again:
                    raise EngineFailed("the replicas failed on this batch; try again") from error
                _log.warning("a batch is sent once more: %s", error)
        raise AssertionError


class _Running:
    """An engine that runs, and the batcher that merges what several `Api` replicas send."""

    def __init__(self, engine: Engine, name: str, metrics: Metrics) -> None:
        self.terms = Terms(engine.kind, engine.max_batch)
        self.batcher = Batcher(engine, lambda _embeddings, _asked: [], _UNBOUNDED, name, metrics)

    def __del__(self) -> None:
        """Closes the engine when all is answered. Serve calls this when another bundle takes its place."""
        self.batcher.close()


class Engines:
    """Embeds batches by the bundles that it is asked for. It opens the bundle of the settings before it is ready."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc] -- Serve awaits it
        _prepare(settings, "engines")
        self._settings = settings
        self._threads = settings.threads or max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
        self._metrics = Metrics()
        self._chosen: dict[Wanted, Terms] = {}
        self._opening: dict[str, asyncio.Task[_Running]] = {}
        self._one_at_a_time = asyncio.Lock()  # Opening takes the cores and the memory of another engine.
        bundle = await asyncio.to_thread(folders.open_found, settings.bundle or DEFAULT_BUNDLE, settings.bundles_dir)
        wanted = Wanted.of(bundle, settings.engine)
        if settings.engine == "auto":
            wanted = replace(wanted, kind=(await self.choose(wanted)).kind)
        await self._running(_model_of(wanted))

    async def choose(self, wanted: Wanted) -> Terms:
        """Returns the kind of engine that `auto` takes here."""
        async with self._one_at_a_time:
            if wanted not in self._chosen:
                try:
                    engine = await asyncio.to_thread(self._open_engine, wanted)
                except (BundleError, EngineError) as error:
                    return Terms(wanted.kind, problem=error.problem)
                self._chosen[wanted] = Terms(engine.kind)
            return self._chosen[wanted]

    async def open(self) -> Terms:
        """Opens the engine that the call is for, unless it is open, and returns what it is."""
        model = serve.get_multiplexed_model_id()
        try:
            running: _Running = await self._running(model)
        except (BundleError, EngineError) as error:
            return Terms(_wanted_of(model).kind, problem=error.problem)
        return running.terms

    async def embed(self, pixels: Pixels) -> Float32:
        """Returns the embeddings of a batch, float32 (N, D)."""
        running = await self._running(serve.get_multiplexed_model_id())
        return on_host(await running.batcher.embed(pixels))

    @serve.multiplexed(max_num_models_per_replica=_BUNDLES)  # type: ignore[untyped-decorator]
    async def _running(self, model: str) -> _Running:
        # A caller that waited too long is cancelled. The next one finds the opening further on.
        opening = self._opening.setdefault(model, asyncio.create_task(self._open(_wanted_of(model))))
        try:
            return await asyncio.shield(opening)
        finally:
            if opening.done():
                self._opening.pop(model, None)

    async def _open(self, wanted: Wanted) -> _Running:
        async with self._one_at_a_time:
            engine = await asyncio.to_thread(self._open_engine, wanted)
        _log.info("%s runs on %s for all replicas of Api", wanted.id, engine.kind)
        return _Running(engine, wanted.id, self._metrics)

    def _open_engine(self, wanted: Wanted) -> Engine:
        """Opens a bundle as whoever wants it knows it. Raises EngineError or BundleError."""
        try:
            bundle = folders.open_found(wanted.id, self._settings.bundles_dir)
        except KeyError:
            raise BundleError("it is not on the machine of this replica") from None
        if Wanted.of(bundle, wanted.kind) != wanted:
            raise BundleError("it is another one on the machine of this replica", bundle.path)
        engine = open_engine(bundle, wanted.kind, self._threads, self._settings.data_dir)
        release_memory()
        return engine


class Api:
    """The server: all its routes, on its store, with the heads that its tasks need."""

    def __init__(self, settings: Settings, engines: DeploymentHandle) -> None:
        _prepare(settings, "api")
        self._settings = settings
        self._engines = engines

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        settings = self._settings
        if _is_sqlite(settings) and (count := serve.get_replica_context().world_size) > 1:
            raise InvalidSettings(f"{count} replicas of Api need a database_url of PostgreSQL: SQLite is for one")
        elsewhere = partial(RemoteBackbone, self._engines, settings.queue_seconds)
        app = await asyncio.to_thread(create_app, settings, elsewhere=elsewhere)  # which waits for replicas of Engines
        collect_less()
        return _with_the_id_of_serve(app)


def application(arguments: Mapping[str, str]) -> Application:
    """Returns the application. Its arguments are settings of the server; the environment's variables count too.

    Raises:
        InvalidSettings: a setting is unknown or impossible, or belongs to Serve.
    """
    try:
        settings = Settings(**{"host": _ANYWHERE, **arguments})  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidSettings(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    if names := sorted(_OF_SERVE & settings.model_fields_set | arguments.keys() & {"host"}):
        raise InvalidSettings(f"{names[0]}: that is Serve's to say, not the application's")
    if not settings.data_dir.is_absolute() or not settings.bundles_dir.is_absolute():
        raise InvalidSettings("data_dir, bundles_dir: they must be absolute paths, since replicas run in folders of their own")
    cores = {"num_cpus": settings.threads or 1}
    engines = serve.deployment(Engines, max_ongoing_requests=_BATCHES, ray_actor_options=cores).bind(settings)
    return serve.deployment(serve.ingress()(Api), max_ongoing_requests=_REQUESTS).bind(settings, engines)


def _prepare(settings: Settings, name: str) -> None:
    """Does in a replica what the server does at its start."""
    configure_logging(settings, name)
    os.umask(0o077)
    put_event_loop_first()
    keep_freed_memory_together()
    threadpool_limits(1, user_api="blas")


def _with_the_id_of_serve(app: ASGIApp) -> ASGIApp:
    """Returns the application without its `X-Request-ID`: Serve's proxy chooses it, and adds it to the answer."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [field for field in message["headers"] if field[0] != b"x-request-id"]
            await send(message)

        await app(scope, receive, send_without_id)

    return answer


def _agreed(response: DeploymentResponse) -> Terms:
    """Returns a replica's answer when it is there. Raises EngineError if it cannot run the engine."""
    terms: Terms = response.result(timeout_s=_OPENING_SECONDS)
    if terms.problem is not None:
        raise EngineError(terms.problem)
    return terms


def _model_of(wanted: Wanted) -> str:
    """Returns the name by which Serve routes the calls for an engine. The file is a part of it: another one needs a version."""
    return f"{wanted.id} {wanted.kind} {wanted.manifest}"


def _wanted_of(model: str) -> Wanted:
    id_, kind, manifest = model.split(" ")
    return Wanted(id_, manifest, cast("EngineKind", kind))


def _is_sqlite(settings: Settings) -> bool:
    return settings.database_url is None or settings.database_url.startswith("sqlite")
