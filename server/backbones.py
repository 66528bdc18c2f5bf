"""The bundles this server knows, each opened when first needed, with an engine and a batcher of its own."""

import asyncio
import logging
from dataclasses import dataclass

from models.bundle import SHIPPED, Bundle, BundleError, find_bundles, open_bundle
from models.engine import EngineError, EngineKind, file_of, open_engine
from models.fitting import fit_head
from models.heads import BackboneRef, EmbeddingSpace, Float32, features
from models.suspects import duplicate_similarity
from server.batcher import Batcher
from server.errors import BackboneUnavailable, Overloaded
from server.metrics import Metrics
from server.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ServedBackbone:
    """An opened bundle, warm, behind its queue.

    Attributes:
        duplicate_similarity: how alike two embeddings are of images that are taken for one.
    """

    bundle: Bundle
    kind: EngineKind
    space: EmbeddingSpace
    batcher: Batcher
    duplicate_similarity: float

    async def check(self) -> None:
        """Sends the golden images through the very queue that serves.

        Raises:
            EngineFailed: the engine fails.
            BundleError: its answer is not the golden one.
        """
        embeddings: Float32 = await self.batcher.embed(self.bundle.golden_pixels)
        self.bundle.check_golden(file_of(self.kind), embeddings)


class Backbones:
    """Every bundle of the shipped folder and of `settings.bundles_dir`.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._opening: dict[BackboneRef, asyncio.Task[None]] = {}
        self._served: dict[BackboneRef, ServedBackbone] = {}
        self.bundles = _read_bundles(settings)
        chosen = settings.bundle or max(self.bundles, key=lambda id_: self.bundles[id_].manifest.created_at, default=None)
        if chosen is None:
            raise BundleError(f"{settings.bundles_dir}: no bundle here")
        if chosen not in self.bundles:
            raise BundleError(f"bundle {chosen} is unknown; known: {', '.join(self.bundles) or 'none'}")
        self.default = self._open(self.bundles[chosen], settings.engine)

    async def serving(self, backbone: BackboneRef) -> ServedBackbone:
        """The backbone that a head was fitted on, opened if need be.

        Raises:
            BackboneUnavailable: its bundle is not on this server, has changed, or cannot be run here.
        """
        if backbone not in self._served:
            # One attempt for all who ask, finished even if they leave, and remembered: what failed would fail again.
            if backbone not in self._opening:
                self._opening[backbone] = asyncio.create_task(asyncio.to_thread(self._open_for, backbone))
            await asyncio.shield(self._opening[backbone])
        return self._served[backbone]

    def check_room(self) -> None:
        """To be asked before anything is done for a request that brings images.

        Raises:
            Overloaded: not one would be admitted, whichever of the open backbones it is for.
        """
        if all(served.batcher.room < 1 for served in list(self._served.values())):  # a copy: others open in threads
            raise Overloaded("the server is working on as many images as it takes; try again")

    async def check(self) -> None:
        """Checks every backbone that is open; raises as `ServedBackbone.check` does."""
        await asyncio.gather(*(served.check() for served in list(self._served.values())))

    def close(self) -> None:
        """Answers what is queued, then stops every engine."""
        for served in self._served.values():
            served.batcher.close()

    def _open_for(self, backbone: BackboneRef) -> None:
        bundle = self.bundles.get(backbone.bundle)
        files = bundle.manifest.files if bundle else {}
        for kind in _like(self.default.kind):
            if bundle and (entry := files.get(file_of(kind))) and entry.sha256 == backbone.sha256:
                try:
                    self._open(bundle, kind)
                    return
                except (EngineError, BundleError) as error:
                    _log.warning("%s cannot be served by %s: %s", bundle.id, kind, error)
        raise BackboneUnavailable(
            f"this task was made with backbone {backbone.bundle} (file {backbone.sha256[:12]}…), which this server does not have"
        )

    def _open(self, bundle: Bundle, kind: EngineKind) -> ServedBackbone:
        engine = open_engine(bundle, kind, self._settings.threads, self._settings.data_dir / "int8-speedups.json")
        _warm_fitting(bundle, engine.space)
        alike = duplicate_similarity(features(bundle.background, None))
        settings = self._settings
        batcher = Batcher(engine, settings.queue_images, bundle.id, self._metrics, settings.queue_seconds)
        served = ServedBackbone(bundle, engine.kind, engine.space, batcher, alike)
        self._served[engine.space.backbone] = served
        _log.info("serving %s on %s", bundle.id, engine.kind)
        return served


def _read_bundles(settings: Settings) -> dict[str, Bundle]:
    """Every bundle by id; one that cannot be trusted is left out with a warning, unless it is the one asked for."""
    if not settings.bundles_dir.is_dir():
        raise BundleError(f"{settings.bundles_dir}: no such folder")
    shipped, theirs = find_bundles(SHIPPED), find_bundles(settings.bundles_dir)
    for id_ in sorted(shipped.keys() & theirs.keys()):
        # Tasks are tied to the very files of a bundle, so another one under its id would leave them without.
        if shipped[id_].resolve() != theirs[id_].resolve():
            raise BundleError(f"{theirs[id_]}: {id_} is the id of a shipped bundle; export it under another name or version")
    bundles = {}
    for id_, path in (shipped | theirs).items():
        try:
            bundle = open_bundle(path)
            if bundle.id != id_:
                raise BundleError(f"{path}: holds {bundle.id}; its folders must say so")
        except BundleError as error:
            if id_ == settings.bundle:
                raise
            _log.warning("bundle left out: %s", error)
        else:
            bundles[id_] = bundle
    return bundles


def _warm_fitting(bundle: Bundle, space: EmbeddingSpace) -> None:
    """Fits a head that nobody needs, so that the first task does not pay for loading the linear algebra."""
    labels = [str(i % 2) for i in range(len(bundle.golden_embeddings))]
    fit_head(bundle.golden_embeddings, labels, space, bundle.manifest.head.options())


def _like(preferred: EngineKind) -> list[EngineKind]:
    """Engines in the order to try for a file that is not the default one: those of the preferred device first."""
    cpu: list[EngineKind] = ["onnx", "onnx-int8", "torchscript"]
    cuda: list[EngineKind] = ["onnx-cuda", "torchscript-cuda"]
    return cuda + cpu if preferred.endswith("-cuda") else cpu
