"""What keeps a bundle open, seen from inside the server."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.bundle import DEFAULT_BUNDLE
from server.engine import registry as module
from server.engine.default_bundle import choose_default, remember_default
from server.engine.registry import Backbones
from server.errors import BackboneInUse, BackboneUnavailable, InvalidBundle, Overloaded
from server.metrics import Metrics
from server.settings import Settings
from server.store.store import Store
from tests.helpers.bundles import small_bundle, spoil
from tests.helpers.databases import database_url
from tests.helpers.stored import BACKBONE, create


@pytest.fixture
def ids(tmp_path: Path, shipped_bundle: Path) -> list[str]:
    return [small_bundle(shipped_bundle, tmp_path, f"small-{i}") for i in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(database_url(tmp_path))
    yield store
    store.close()


@pytest.fixture
def backbones(tmp_path: Path, ids: list[str], store: Store) -> Iterator[Backbones]:
    settings = Settings(data_dir=tmp_path, bundles_dir=tmp_path, bundle=ids[0], open_bundles=2)
    backbones = Backbones(settings, Metrics(), store)
    yield backbones
    backbones.stop()


def test_a_job_keeps_its_bundle_open_and_embeds_in_the_background(
    backbones: Backbones, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.1)

    async def run() -> None:
        served, is_new = await backbones.open(ids[1])
        assert is_new
        with served.use():
            with pytest.raises(BackboneInUse, match="work is under way"):
                await backbones.close(ids[1])
            with pytest.raises(Overloaded, match="all at work"):
                await backbones.open(ids[2])
            golden = served.bundle
            embeddings = await served.batcher.embed_in_background(golden.golden_pixels)
            np.testing.assert_allclose(embeddings, golden.golden_embeddings, atol=1e-5)
        assert (await backbones.open(ids[1])) == (served, False)
        await backbones.open(ids[2])  # which takes its place
        assert (await backbones.open(ids[1]))[1]
        await backbones.close(ids[1])

    asyncio.run(run())


def test_a_check_that_was_right_just_now_embeds_nothing(backbones: Backbones, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        now = time.monotonic()
        monkeypatch.setattr("server.engine.backbone.time.monotonic", lambda: now)
        await backbones.check()
        monkeypatch.setattr("server.engine.backbone.Batcher.embed", None)  # A check that embeds fails from now on.
        await backbones.check()
        now += 2.1
        with pytest.raises(TypeError):
            await backbones.check()

    asyncio.run(run())


def test_who_begins_while_the_store_is_asked_is_waited_for(backbones: Backbones, ids: list[str], store: Store) -> None:
    async def run() -> None:
        served, _ = await backbones.open(ids[1])
        asked = store.active.by_bundle
        until_idle = served.wait_until_idle
        begun, waited_for, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        async def begin() -> None:
            with served.use():
                begun.set()
                await ended.wait()

        async def wait() -> None:
            if not served.idle:
                waited_for.set()
            await until_idle()

        def ask() -> dict[str, int]:
            found = asked()
            if not begun.is_set():
                asyncio.run_coroutine_threadsafe(begin(), loop)
                while not begun.is_set():
                    pass
            return found

        store.active.by_bundle = ask  # type: ignore[method-assign]
        served.wait_until_idle = wait  # type: ignore[method-assign]
        closing = asyncio.create_task(backbones.close(ids[1]))
        await asyncio.wait_for(waited_for.wait(), 10)
        assert not closing.done()
        ended.set()
        await closing
        assert served.idle

    asyncio.run(run())


def test_tasks_are_counted_by_the_bundle_of_their_active_version(store: Store) -> None:
    assert store.active.by_bundle() == {}
    tasks = [create(store, tenant) for tenant in ("default", "default", "another")]
    assert store.active.by_bundle() == {tasks[0].version.backbone.bundle: 3}
    store.tasks.delete(tasks[2].key)
    assert store.active.by_bundle() == {tasks[0].version.backbone.bundle: 2}


def test_a_default_that_is_damaged_is_not_replaced_by_another(tmp_path: Path, ids: list[str], store: Store) -> None:
    remember_default(ids[0], Settings(data_dir=tmp_path), store)
    spoil(tmp_path, ids[0])
    backbones = Backbones(Settings(data_dir=tmp_path, bundles_dir=tmp_path), Metrics(), store)
    assert backbones.default_id == ids[0]
    with pytest.raises(BackboneUnavailable, match=ids[0]):
        _ = backbones.default
    assert backbones.has_room("default")

    async def run() -> None:
        assert [each.id for each in await backbones.unserved()] == [ids[0]]
        with pytest.raises(InvalidBundle):
            await backbones.open(ids[0])
        await backbones.open(ids[1])
        assert backbones.served_default is None
        spoil(tmp_path, ids[0])
        assert (await backbones.open(ids[0]))[0] is backbones.default
        assert await backbones.unserved() == []

    asyncio.run(run())
    backbones.stop()


def test_a_default_that_was_half_written_is_none(tmp_path: Path, store: Store) -> None:
    (tmp_path / "default-bundle").write_bytes(b"")
    assert choose_default(Settings(data_dir=tmp_path), store).id == DEFAULT_BUNDLE
    assert choose_default(Settings(data_dir=tmp_path, bundle="named@1"), store).id == "named@1"
    create(store)
    assert choose_default(Settings(data_dir=tmp_path), store).id == BACKBONE.bundle
    remember_default("set@1", Settings(data_dir=tmp_path), store)
    assert choose_default(Settings(data_dir=tmp_path), store).id == "set@1"
