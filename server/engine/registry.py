"""The open bundles, each with its own engine and batcher, and the bundle that new tasks get."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Literal, NoReturn

from models.engine import on_cuda, release_memory
from models.heads.head import BackboneRef
from models.manifest import Manifest
from server.engine import folders
from server.engine.backbone import ServedBackbone
from server.engine.default_bundle import choose_default, remember_default
from server.engine.descriptions import Description, descriptions
from server.engine.opening import Opened, OpenElsewhere, open_bundle_of, open_default, open_file
from server.errors import BackboneInUse, BackboneNotFound, BackboneNotOpen, BackboneUnavailable, Overloaded, StorageFailed
from server.metrics import Metrics
from server.settings import Settings
from server.store.store import Store

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0

BundleChange = Literal["opened", "default", "closed"]


class Backbones:
    """The bundles of the shipped folder and of `settings.bundles_dir`: opens and closes them. Use it on the event loop.

    At most `settings.open_bundles` engines are open, and one more while it replaces another. It replaces the one that was idle
    longest, but never the default one. The tasks of a closed bundle open it again.

    If the remembered bundle for new tasks is missing, new tasks are refused until it is back or another one is chosen.

    Attributes:
        default_id: the id of the bundle that new tasks get.
        served_default: that bundle; None while it cannot be served.
        on_change: is told what became of a bundle. It must not block.

    Args:
        elsewhere: opens engines in another process; None if this one runs them.

    Raises:
        BundleError, EngineError: the bundle for new tasks that the settings name, or the shipped one, cannot be opened.
    """

    def __init__(self, settings: Settings, metrics: Metrics, store: Store, elsewhere: OpenElsewhere | None = None) -> None:
        self._settings = settings
        self._elsewhere = elsewhere
        self._metrics = metrics
        self._store = store
        self._served: dict[BackboneRef, ServedBackbone] = {}
        self._preferred: dict[str, ServedBackbone] = {}  # by bundle id, each on the engine that the settings choose for it
        self._opening: dict[BackboneRef, asyncio.Task[None]] = {}
        self._failed: dict[BackboneRef, str] = {}
        self.on_change: Callable[[BundleChange, str], None] = lambda _change, _id: None
        self._one_at_a_time = asyncio.Lock()  # Opening takes the cores and the memory of another engine.
        choice = choose_default(settings, store)
        opened = open_default(choice, settings, elsewhere)
        self.default_id = choice.id
        self.served_default = self._serve(opened, preferred=True) if opened else None
        _log.info("new tasks get %s (%s)", choice.id, choice.why)
        if not choice.is_remembered:
            with suppress(StorageFailed):  # The failure is in the log. The choice holds until the next start.
                remember_default(choice.id, settings, store)
        for each in self._describe(folders.manifests(settings.bundles_dir), store.active.by_backbone()).values():
            if each.unserved:
                needing = f"{each.unserved_tasks} tasks{' and new ones' if self.served_default is None and each.default else ''}"
                _log.error("%s is not on this server as it was: %s are refused until it is back", each.id, needing)

    @property
    def default(self) -> ServedBackbone:
        """The backbone that new tasks get.

        Raises:
            BackboneUnavailable: it is not on this server, or cannot be opened.
        """
        if self.served_default is None:
            raise BackboneUnavailable(
                f"new tasks get backbone {self.default_id}, which this server does not have or cannot open; waiting does not "
                "help: bring its bundle back and open it, or make another one the default"
            )
        return self.served_default

    @asynccontextmanager
    async def use(self, backbone: BackboneRef) -> AsyncIterator[ServedBackbone]:
        """Yields the backbone that a head was fitted on. It is opened if need be, and stays open for the length of the block.

        Raises:
            BackboneUnavailable: its bundle is not on this server, has changed, or cannot be run here.
            Overloaded: the limit of open bundles is reached, and all are at work.
        """
        with (await self._opened(backbone)).use() as served:
            yield served

    @asynccontextmanager
    async def use_if_there(self, backbone: BackboneRef) -> AsyncIterator[ServedBackbone | None]:
        """Does the same as `use`, but yields None where that raises BackboneUnavailable."""
        async with AsyncExitStack() as stack:
            try:
                served = await stack.enter_async_context(self.use(backbone))
            except BackboneUnavailable:
                served = None
            yield served

    @asynccontextmanager
    async def use_bundle(self, id_: str) -> AsyncIterator[ServedBackbone]:
        """Does the same as `use` for the bundle of this id, opened as by `open`. Raises the errors of `open`."""
        served, _ = await self.open(id_)
        with served.use():
            yield served

    @asynccontextmanager
    async def use_open(self, id_: str) -> AsyncIterator[ServedBackbone]:
        """Does the same as `use` for the bundle of this id, which is not opened.

        Raises:
            BackboneNotFound: there is no such bundle.
            BackboneNotOpen: it is not open.
        """
        if not (engines := self._engines_of(id_)):
            await self._refuse_closed(id_)
        with self._preferred.get(id_, engines[0]).use() as served:
            yield served

    @contextmanager
    def use_default(self) -> Iterator[ServedBackbone]:
        """Does the same as `use` for the backbone that new tasks get.

        Raises:
            BackboneUnavailable: it is not on this server, or cannot be opened.
        """
        with self.default.use() as served:
            yield served

    async def open(self, id_: str) -> tuple[ServedBackbone, bool]:
        """Opens a bundle on the engine that the settings choose for it, unless it is open there already.

        It is verified, checked and warm before anyone can use it. A bundle that failed before is tried again.

        Returns:
            The bundle's backbone, and whether this call opened it.

        Raises, with nothing changed:
            BackboneNotFound: there is no such bundle.
            InvalidBundle: it cannot be trusted, read, or run here.
            Overloaded: the limit of open bundles is reached, and all are at work.
        """
        async with self._one_at_a_time:
            served, is_new = await self._open(id_)
            if id_ == self.default_id:  # The default may have been missing.
                self.served_default = served
        self.on_change("opened", id_)  # Also if it was open: whoever follows may have failed to open it before it was mended.
        return served, is_new

    async def make_default(self, id_: str, *, remember: bool = True) -> ServedBackbone:
        """Gives this bundle to new tasks from now on, also after a restart, unless `settings.bundle` says otherwise.

        Args:
            remember: False if another process has remembered it, and may have remembered another one since.

        Raises, with nothing changed:
            BackboneNotFound: there is no such bundle.
            BackboneNotOpen: it is not open.
            StorageFailed: the choice cannot be remembered.
            InvalidBundle, Overloaded: as in `open`, if the bundle was open only for tasks that use another of its files.
        """
        async with self._one_at_a_time:
            if not self._engines_of(id_):
                await self._refuse_closed(id_)
            served, _ = await self._open(id_)
            with served.use():
                if remember:
                    await asyncio.to_thread(remember_default, id_, self._settings, self._store)
                self.default_id, self.served_default = id_, served
        self.on_change("default", id_)
        _log.info("new tasks get %s", id_)
        return served

    async def close(self, id_: str) -> None:
        """Closes a bundle when the work under way on it is done. Does nothing if it is not open.

        Raises, with nothing changed:
            BackboneNotFound: there is no such bundle.
            BackboneInUse: it is the default, tasks use it, or the work under way takes too long.
        """
        if not self._engines_of(id_):
            await self.check_known(id_)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                unused = await self._unused(id_)
        except TimeoutError:
            raise BackboneInUse(f"work is under way on backbone {id_}; try again when it is done") from None
        await self._close(unused)
        self.on_change("closed", id_)

    async def follow(self, change: BundleChange, id_: str) -> None:
        """Does with a bundle what another process did. Raises the errors of `open`, `make_default` and `close`."""
        if change == "closed":
            await self.close(id_)
        else:
            await self.open(id_)
        if change == "default":
            await self.make_default(id_, remember=False)

    async def check_known(self, id_: str) -> None:
        """Raises BackboneNotFound unless a bundle of that id is in the folders now."""
        if id_ not in await asyncio.to_thread(folders.find, self._settings.bundles_dir):
            raise BackboneNotFound(id_)

    async def _refuse_closed(self, id_: str) -> NoReturn:
        await self.check_known(id_)
        raise BackboneNotOpen(f"backbone {id_} is not open; open it first")

    async def servable(self) -> dict[BackboneRef, Manifest]:
        """Returns the backbones that are open, and those of the folders that may be opened, each with its bundle's manifest."""
        found = await asyncio.to_thread(folders.manifests, self._settings.bundles_dir)
        here = {BackboneRef(id_, file.sha256): manifest for id_, manifest in found.items() for file in manifest.files.values()}
        closed = {backbone: manifest for backbone, manifest in here.items() if backbone not in self._failed}
        return closed | {backbone: served.bundle.manifest for backbone, served in self._served.items()}

    @property
    def open_ids(self) -> frozenset[str]:
        """The ids of the bundles that are open."""
        return frozenset(backbone.bundle for backbone in self._served)

    async def describe(self, tenant: str | None = None) -> dict[str, Description]:
        """Returns the description of every bundle that is in the folders now, open, or needed, by id.

        Args:
            tenant: whose tasks count and need bundles; None for those of all tenants.
        """
        found = await asyncio.to_thread(folders.manifests, self._settings.bundles_dir)
        used = await asyncio.to_thread(self._store.active.by_backbone, tenant)
        if tenant is None:
            return self._describe(found, used)
        return descriptions(found, used, self._served.values(), self._failed, self.default_id)

    async def unserved(self) -> list[Description]:
        """Returns the bundles that existing or new tasks need and that cannot be served. An operator must bring them back."""
        used = await asyncio.to_thread(self._store.active.by_backbone)
        needed = {backbone.bundle for backbone in used} | {self.default_id}
        described = self._describe(await asyncio.to_thread(folders.manifests, self._settings.bundles_dir, needed), used)
        return [each for each in described.values() if each.unserved]

    def has_room(self, tenant: str) -> bool:
        """Returns whether some open backbone would admit another image of a tenant, or none is open."""
        return not self._served or any(served.batcher.room(tenant) >= 1 for served in self._served.values())

    async def check(self) -> None:
        """Checks every open backbone. Raises the errors of `ServedBackbone.check`."""
        await asyncio.gather(*(served.check() for served in self._served.values()))

    def stop(self) -> None:
        """Answers all queued images, then stops every engine."""
        for served in self._served.values():
            served.batcher.close()

    async def _opened(self, backbone: BackboneRef) -> ServedBackbone:
        """Returns the backbone, open. The caller must not await anything before it uses it."""
        while backbone not in self._served:
            if backbone in self._failed:
                raise BackboneUnavailable(self._failed[backbone])
            # All callers share one attempt. It finishes even if they are cancelled.
            if backbone not in self._opening:
                self._opening[backbone] = asyncio.create_task(self._open_for_tasks(backbone))
            await asyncio.shield(self._opening[backbone])
        return self._served[backbone]

    def _describe(self, found: Mapping[str, Manifest], used: Mapping[BackboneRef, int]) -> dict[str, Description]:
        described = descriptions(found, used, self._served.values(), self._failed, self.default_id)
        metrics = self._metrics
        metrics.backbone_missing.show({(each.id,): 1 for each in described.values() if each.unserved})
        metrics.backbone_open.show({(served.bundle.id, served.kind): 1 for served in self._served.values()})
        metrics.tasks.show({(each.id,): each.active_tasks for each in described.values() if each.active_tasks})
        return described

    async def _open(self, id_: str) -> tuple[ServedBackbone, bool]:
        self._failed = {backbone: why for backbone, why in self._failed.items() if backbone.bundle != id_}
        if id_ in self._preferred:
            return self._preferred[id_], False
        opened = await asyncio.to_thread(open_bundle_of, id_, self._settings, self._elsewhere)
        if opened_for_tasks := self._served.get(opened.engine.space.backbone):
            self._preferred[id_] = opened_for_tasks
            return opened_for_tasks, False
        await self._make_room()
        return self._serve(opened, preferred=True), True

    async def _open_for_tasks(self, backbone: BackboneRef) -> None:
        try:
            async with self._one_at_a_time:
                if backbone not in self._served:
                    kind = self.served_default.kind if self.served_default else self._settings.engine
                    cuda = kind == "auto" or on_cuda(kind)
                    opened = await asyncio.to_thread(open_file, backbone, self._settings, self._elsewhere, on_cuda=cuda)
                    await self._make_room()
                    self._serve(opened, preferred=False)
        except BackboneUnavailable as error:
            self._failed[backbone] = error.detail  # It would fail again until somebody mends the bundle and opens it.
            raise
        finally:
            del self._opening[backbone]

    async def _make_room(self) -> None:
        if len(self._served) >= self._settings.open_bundles:
            closable = [served for served in self._served.values() if served.idle and served is not self.served_default]
            if not closable:
                raise Overloaded(f"{len(self._served)} bundles are open, the most allowed, and all at work; try again")
            await self._close([min(closable, key=lambda served: served.last_used)])

    async def _unused(self, id_: str) -> list[ServedBackbone]:
        """Returns the engines of a bundle as soon as nobody uses them.

        Raises BackboneInUse if the bundle is the default or tasks use it.
        """
        while engines := self._engines_of(id_):
            before = [served.uses for served in engines if served.idle]
            used = (await asyncio.to_thread(self._store.active.by_bundle)).get(id_, 0)
            if self.served_default in engines:
                raise BackboneInUse(f"new tasks get backbone {id_}; make another one the default first")
            if used:
                raise BackboneInUse(f"tasks whose active version uses backbone {id_}: {used}; it stays open for them")
            # A task may have been stored since the store was asked. Whoever stored it used an engine meanwhile.
            if engines == self._engines_of(id_) and before == [served.uses for served in engines]:
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

    def _serve(self, opened: Opened, *, preferred: bool) -> ServedBackbone:
        served = ServedBackbone(opened, self._settings, self._metrics)
        self._served[served.space.backbone] = served
        if preferred:
            self._preferred[served.bundle.id] = served
        _log.info("serving %s on %s", served.bundle.id, served.kind)
        return served
