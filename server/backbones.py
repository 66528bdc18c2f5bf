"""The bundles that are open, each with an engine and a batcher of its own, and the one that new tasks get."""

import asyncio
import logging
from dataclasses import dataclass

from models.bundle import Bundle
from models.engine import Engine, EngineKind, release_memory
from models.heads import BackboneRef
from models.manifest import Manifest
from server import bundles
from server.errors import BackboneInUse, BackboneNotFound, BackboneNotOpen, BackboneUnavailable, Overloaded
from server.metrics import Metrics
from server.opening import open_bundle_of, open_default, open_file, remember_default
from server.served import ServedBackbone
from server.settings import Settings
from server.store import Store

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Description:
    """What is to be said about a bundle.

    Attributes:
        engines: what it is open on; none if it is not open.
        default: new tasks get it.
        active_tasks: how many tasks' active versions use it.
    """

    manifest: Manifest
    engines: list[EngineKind]
    default: bool
    active_tasks: int


class Backbones:
    """Opens bundles of the shipped folder and of `settings.bundles_dir`, and closes them. To be used on the event loop.

    At most `settings.open_bundles` engines are open, and one more while it takes another's place: that of the one which was
    idle longest, but never of the default one. The tasks of a closed bundle open it again.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
    """

    def __init__(self, settings: Settings, metrics: Metrics, store: Store) -> None:
        self._settings = settings
        self._metrics = metrics
        self._store = store
        self._served: dict[BackboneRef, ServedBackbone] = {}
        self._preferred: dict[str, ServedBackbone] = {}  # by bundle: on the engine that the settings choose for it
        self._opening: dict[BackboneRef, asyncio.Task[None]] = {}
        self._failed: dict[BackboneRef, str] = {}
        self._one_at_a_time = asyncio.Lock()  # Opening takes the cores and the memory of another engine.
        self.default = self._serve(*open_default(settings), preferred=True)

    async def serving(self, backbone: BackboneRef) -> ServedBackbone:
        """The backbone that a head was fitted on, opened if need be. Who awaits anything else before using it must hold it.

        Raises:
            BackboneUnavailable: its bundle is not on this server, has changed, or cannot be run here.
            Overloaded: as many are open as may be, and all at work.
        """
        while backbone not in self._served:
            if backbone in self._failed:
                raise BackboneUnavailable(self._failed[backbone])
            # One attempt for all who ask, finished even if they leave.
            if backbone not in self._opening:
                self._opening[backbone] = asyncio.create_task(self._open_for_tasks(backbone))
            await asyncio.shield(self._opening[backbone])
        return self._served[backbone]

    async def open(self, id_: str) -> tuple[ServedBackbone, bool]:
        """The bundle on the engine that the settings choose for it, opened if need be; and whether that was needed.

        It is verified, warm and checked before anyone sees it. What failed before is tried again.

        Raises, with nothing changed:
            BackboneNotFound: there is no such bundle.
            InvalidBundle: it cannot be trusted, read, or run here.
            Overloaded: as many are open as may be, and all at work.
        """
        async with self._one_at_a_time:
            return await self._open(id_)

    async def make_default(self, id_: str) -> ServedBackbone:
        """New tasks get this bundle, after a restart too unless `settings.bundle` says otherwise.

        Raises, with nothing changed:
            BackboneNotFound, BackboneNotOpen: it is not open.
            StorageFailed: it cannot be remembered.
            InvalidBundle, Overloaded: as in `open`, where it was opened only for tasks that another of its files serves.
        """
        async with self._one_at_a_time:
            if not self._engines_of(id_):
                await self.check_known(id_)
                raise BackboneNotOpen(f"backbone {id_} is not open; open it first")
            served, _ = await self._open(id_)
            with served.hold():
                await asyncio.to_thread(remember_default, id_, self._settings.data_dir)
                self.default = served
        _log.info("new tasks get %s", id_)
        return served

    async def close(self, id_: str) -> None:
        """Closes a bundle once what is under way on it is done; one that is not open stays so.

        Raises, with nothing changed:
            BackboneNotFound: there is no such bundle.
            BackboneInUse: it is the default, tasks use it, or what is under way takes long.
        """
        if not self._engines_of(id_):
            await self.check_known(id_)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                unused = await self._unused(id_)
        except TimeoutError:
            raise BackboneInUse(f"work is under way on backbone {id_}; try again when it is done") from None
        await self._close(unused)

    async def check_known(self, id_: str) -> None:
        """Raises BackboneNotFound unless a bundle of that id is in the folders now."""
        if id_ not in await asyncio.to_thread(bundles.find, self._settings.bundles_dir):
            raise BackboneNotFound(id_)

    async def describe(self) -> dict[str, Description]:
        """Every bundle that is in the folders now, or open, by id."""
        found = await asyncio.to_thread(bundles.manifests, self._settings.bundles_dir)
        used = await asyncio.to_thread(self._store.active_by_bundle)
        found |= {served.bundle.id: served.bundle.manifest for served in self._served.values()}
        return {
            id_: Description(
                found[id_], [served.kind for served in self._engines_of(id_)], id_ == self.default.bundle.id, used.get(id_, 0)
            )
            for id_ in sorted(found)
        }

    def check_room(self) -> None:
        """To be asked before anything is done for a request that brings images.

        Raises:
            Overloaded: not one would be admitted, whichever of the open backbones it is for.
        """
        if all(served.batcher.room < 1 for served in self._served.values()):
            raise Overloaded("the server is working on as many images as it takes; try again")

    async def check(self) -> None:
        """Checks every backbone that is open; raises as `ServedBackbone.check` does."""
        await asyncio.gather(*(served.check() for served in self._served.values()))

    def stop(self) -> None:
        """Answers what is queued, then stops every engine."""
        for served in self._served.values():
            served.batcher.close()

    async def _open(self, id_: str) -> tuple[ServedBackbone, bool]:
        self._failed = {backbone: why for backbone, why in self._failed.items() if backbone.bundle != id_}
        if id_ in self._preferred:
            return self._preferred[id_], False
        bundle, engine = await asyncio.to_thread(open_bundle_of, id_, self._settings)
        if opened_for_tasks := self._served.get(engine.space.backbone):
            self._preferred[id_] = opened_for_tasks
            return opened_for_tasks, False
        await self._make_room()
        return self._serve(bundle, engine, preferred=True), True

    async def _open_for_tasks(self, backbone: BackboneRef) -> None:
        try:
            async with self._one_at_a_time:
                if backbone not in self._served:
                    on_cuda = self.default.kind.endswith("-cuda")
                    bundle, engine = await asyncio.to_thread(open_file, backbone, self._settings, on_cuda=on_cuda)
                    await self._make_room()
                    self._serve(bundle, engine, preferred=False)
        except BackboneUnavailable as error:
            self._failed[backbone] = error.detail  # What failed would fail again, until somebody mends it and opens it.
            raise
        finally:
            del self._opening[backbone]

    async def _make_room(self) -> None:
        if len(self._served) >= self._settings.open_bundles:
            closable = [served for served in self._served.values() if served.idle and served is not self.default]
            if not closable:
                raise Overloaded(f"{len(self._served)} bundles are open, as many as may be, and all at work; try again")
            await self._close([min(closable, key=lambda served: served.last_used)])

    async def _unused(self, id_: str) -> list[ServedBackbone]:
        """The engines of a bundle as soon as nobody holds them; BackboneInUse if that would not be enough."""
        while engines := self._engines_of(id_):
            before = [served.holds for served in engines if served.idle]
            used = (await asyncio.to_thread(self._store.active_by_bundle)).get(id_, 0)
            if self.default in engines:
                raise BackboneInUse(f"new tasks get backbone {id_}; make another one the default first")
            if used:
                raise BackboneInUse(f"tasks whose active version uses backbone {id_}: {used}; it stays open for them")
            # A task may have been stored since the store was asked, but not by somebody who held nothing meanwhile.
            if engines == self._engines_of(id_) and before == [served.holds for served in engines]:
                break
            for served in engines:
                await served.wait_until_idle()
        return engines

    async def _close(self, closing: list[ServedBackbone]) -> None:
        for served in closing:
            del self._served[served.space.backbone]
            if self._preferred.get(served.bundle.id) is served:
                del self._preferred[served.bundle.id]
        for served in closing:
            await asyncio.to_thread(served.batcher.close)
            _log.info("closed %s on %s", served.bundle.id, served.kind)
        await asyncio.to_thread(release_memory)

    def _engines_of(self, id_: str) -> list[ServedBackbone]:
        return [served for served in self._served.values() if served.bundle.id == id_]

    def _serve(self, bundle: Bundle, engine: Engine, *, preferred: bool) -> ServedBackbone:
        served = ServedBackbone(bundle, engine, self._settings, self._metrics)
        self._served[served.space.backbone] = served
        if preferred:
            self._preferred[bundle.id] = served
        _log.info("serving %s on %s", bundle.id, served.kind)
        return served
