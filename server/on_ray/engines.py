"""The deployment that embeds."""

import asyncio
import logging
from dataclasses import replace

import ray
from ray import serve

from models.arrays import on_host
from models.bundle import DEFAULT_BUNDLE, BundleError
from models.engine import Engine, EngineError, open_engine, release_memory
from models.heads.head import Float32
from models.images.preprocess import Pixels
from server.engine import folders
from server.engine.batcher import Batcher
from server.engine.shared.handshake import Wanted
from server.metrics import Metrics
from server.on_ray.calls import Terms, model_of, wanted_of
from server.on_ray.replica import prepare
from server.settings import Settings

_log = logging.getLogger(__name__)

_BUNDLES = 4  # that a replica has open at once
_UNBOUNDED = 2**62  # Those who send images admit them.


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

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        prepare(settings, "engines")
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
        await self._running(model_of(wanted))

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
            return Terms(wanted_of(model).kind, problem=error.problem)
        return running.terms

    async def embed(self, pixels: Pixels) -> Float32:
        """Returns the embeddings of a batch, float32 (N, D)."""
        running = await self._running(serve.get_multiplexed_model_id())
        return on_host(await running.batcher.embed(pixels))

    @serve.multiplexed(max_num_models_per_replica=_BUNDLES)  # type: ignore[untyped-decorator]
    async def _running(self, model: str) -> _Running:
        # A caller that waited too long is cancelled. The next one finds the opening further on.
        opening = self._opening.setdefault(model, asyncio.create_task(self._open(wanted_of(model))))
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
        bundle = wanted.find(self._settings.bundles_dir)
        engine = open_engine(bundle, wanted.kind, self._threads, self._settings.data_dir)
        release_memory()
        return engine
