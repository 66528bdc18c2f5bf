"""A flood of one tenant and the requests of another: in the batcher, in a pool of threads, and over HTTP."""

import asyncio
import io
import os
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from models.engine import MAX_BATCH
from models.heads.head import Float32
from models.images.preprocess import Pixels
from server.context import tenant_id
from server.engine.batcher import Batcher
from server.engine.queue import Entry, ImageQueue
from server.errors import Overloaded
from server.metrics import Metrics
from server.threads import BULK_NICENESS, FairPool
from tests.helpers import uploads
from tests.helpers.servers import ServerProcess, run_server
from tests.server.test_batcher import WatchedEngine, enter_engine, images, nothing_asked, until

CAPACITY = 200


def of(tenant: str, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """A task for a tenant's request."""

    async def run() -> Any:
        tenant_id.set(tenant)
        return await work

    return asyncio.create_task(run())


@pytest.fixture
def engine() -> WatchedEngine:
    engine = WatchedEngine()
    engine.gate.clear()
    return engine


def opened(engine: WatchedEngine, threads: int) -> Batcher:
    engine.parallel = threads
    return Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())


async def admitted(batcher: Batcher, count: int, done: asyncio.Event) -> None:
    with batcher.admit(count):
        await done.wait()


async def fill(batcher: Batcher, engine: WatchedEngine, threads: int) -> "list[asyncio.Task[Any]]":
    """A batch of the flood's under way on each thread."""
    batches = []
    for _ in range(threads):
        engine.entered.clear()
        batches.append(of("flood", batcher.embed(images(MAX_BATCH))))
        await enter_engine(engine)
    return batches


def test_the_next_batch_has_the_images_of_every_tenant(engine: WatchedEngine) -> None:
    batcher = opened(engine, 1)
    order: list[str] = []

    async def ask(tenant: str) -> None:
        await batcher.embed(images(1))
        order.append(tenant)

    async def run() -> None:
        under_way = await fill(batcher, engine, 1)
        flood = [of("flood", ask("flood")) for _ in range(MAX_BATCH)]
        await asyncio.sleep(0)
        modest = of("modest", ask("modest"))
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(*under_way, *flood, modest)

    asyncio.run(run())
    batcher.close()
    assert engine.batches == [MAX_BATCH, MAX_BATCH, 1]
    assert order.index("modest") <= 1


def test_a_thread_stands_by_for_a_tenant_of_which_nothing_runs(engine: WatchedEngine) -> None:
    batcher = opened(engine, 2)

    async def run() -> None:
        under_way = await fill(batcher, engine, 2)
        more = of("flood", batcher.embed(images(1)))
        await asyncio.sleep(0)
        first = of("modest", batcher.embed(images(2)))
        await until(lambda: engine.began[2:] == [2])
        second = of("modest", batcher.embed(images(3)))
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(*under_way, more, first, second)

    asyncio.run(run())
    batcher.close()
    assert engine.began[:3] == [MAX_BATCH, MAX_BATCH, 2]
    assert sum(engine.batches) == 2 * MAX_BATCH + 1 + 2 + 3


def test_the_thread_that_stands_by_takes_images_that_are_not_next() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        queue = ImageQueue(2, MAX_BATCH, 4)
        for tenant, count in (("modest", 3), ("flood", 1), ("flood", 1), ("modest", 2), ("modest", 3)):
            queue.put(Entry(images(count), None, loop.create_future(), tenant=tenant))
        assert [entry.tenant for entry in queue.take(running={"flood"})] == ["modest", "flood"]
        assert [len(entry.pixels) for entry in queue.take_beside({"modest"}.__contains__)] == [2]  # 2 and 3 are too many
        assert queue.take_beside({"another"}.__contains__) == []
        assert queue.images == 4

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_the_thread_that_stands_by_has_the_priority_of_the_event_loop(
    engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    priorities: list[int] = []
    embed = engine.embed

    def watched(pixels: Pixels) -> Float32:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return embed(pixels)

    monkeypatch.setattr(engine, "embed", watched)
    batcher = opened(engine, 2)

    async def run() -> None:
        under_way = await fill(batcher, engine, 2)
        modest = of("modest", batcher.embed(images(1)))
        await until(lambda: len(priorities) == 3)
        engine.gate.set()
        await asyncio.gather(*under_way, modest)

    asyncio.run(run())
    batcher.close()
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert priorities == [min(usual + BULK_NICENESS, 19)] * 2 + [usual]


def test_batches_are_small_while_several_tenants_wait(engine: WatchedEngine) -> None:
    batcher = opened(engine, 2)

    async def run() -> None:
        under_way = await fill(batcher, engine, 2)
        others = [of(tenant, batcher.embed(images(1))) for tenant in ("flood", "modest", "third") for _ in range(MAX_BATCH)]
        await until(lambda: len(engine.began) == 3)
        engine.gate.set()
        await asyncio.gather(*under_way, *others)

    asyncio.run(run())
    batcher.close()
    assert max(engine.began[2:10]) <= MAX_BATCH // 8
    assert sum(engine.batches) == 5 * MAX_BATCH


@pytest.mark.parametrize("threads", [1, 2])
def test_closing_answers_every_tenant(engine: WatchedEngine, threads: int) -> None:
    batcher = opened(engine, threads)

    async def run() -> None:
        under_way = await fill(batcher, engine, threads)
        others = [of(tenant, batcher.embed(images(1))) for tenant in ("flood", "modest") for _ in range(20)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await until(lambda: batcher._closing)
        engine.gate.set()
        await asyncio.gather(*under_way, *others, closing)

    asyncio.run(run())
    assert sum(engine.batches) == threads * MAX_BATCH + 40


def test_a_tenant_below_its_share_is_let_in_and_the_flood_refused_first(engine: WatchedEngine) -> None:
    batcher = opened(engine, 1)

    async def run() -> None:
        done = asyncio.Event()
        flood = of("flood", admitted(batcher, CAPACITY, done))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await of("flood", admitted(batcher, 1, done))
        modest = [of("modest", admitted(batcher, CAPACITY // 4, done)) for _ in range(2)]
        await asyncio.sleep(0)
        for tenant in ("modest", "flood"):
            with pytest.raises(Overloaded):
                await of(tenant, admitted(batcher, 1, done))
        done.set()
        await asyncio.gather(flood, *modest)
        with batcher.admit(CAPACITY):
            pass

    asyncio.run(run())
    batcher.close()


def test_a_long_queue_of_one_tenant_is_no_long_wait_for_another(engine: WatchedEngine) -> None:
    batcher = Batcher(engine, nothing_asked, 100 * MAX_BATCH, "fake@1", Metrics(), longest_wait=1.0)
    batcher._seconds_per_image = 1.0 / MAX_BATCH  # as if measured: a second a batch

    async def run() -> None:
        done = asyncio.Event()
        flood = [of("flood", admitted(batcher, MAX_BATCH, done)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await of("flood", admitted(batcher, 1, done))
        modest = of("modest", admitted(batcher, 1, done))
        await asyncio.sleep(0)
        done.set()
        await asyncio.gather(*flood, modest)

    asyncio.run(run())
    engine.gate.set()
    batcher.close()


def test_a_pool_takes_the_work_of_tenants_in_turn() -> None:
    begun: list[str] = []
    gate = threading.Event()

    def work(name: str) -> str:
        begun.append(name)
        assert gate.wait(10)
        return name

    async def run() -> None:
        pool = FairPool(1, "test")
        flood = [of("flood", pool.run(work, f"flood {number}")) for number in range(4)]
        await until(lambda: begun == ["flood 0"])
        modest = of("modest", pool.run(work, "modest"))
        await asyncio.sleep(0)
        flood[1].cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await modest == "modest"
        assert await asyncio.gather(*flood[2:]) == ["flood 2", "flood 3"]
        pool.close()

    asyncio.run(run())
    assert begun == ["flood 0", "modest", "flood 2", "flood 3"]


def test_one_more_thread_of_a_pool_runs_work_of_a_tenant_of_which_none_runs() -> None:
    begun: list[str] = []
    gate = threading.Event()

    def work(name: str) -> None:
        begun.append(name)
        assert gate.wait(10)

    async def run() -> None:
        pool = FairPool(2, "test", beside=True)
        flood = [of("flood", pool.run(work, "flood")) for _ in range(4)]
        await until(lambda: len(begun) == 2)
        modest = [of("modest", pool.run(work, "modest")) for _ in range(2)]
        await until(lambda: len(begun) == 3)
        third = of("third", pool.run(work, "third"))
        await asyncio.sleep(0)
        assert begun == ["flood", "flood", "modest"]
        gate.set()
        await asyncio.gather(*flood, *modest, third)
        pool.close()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_who_stands_by_has_the_priority_of_the_event_loop_and_those_who_fill_the_cores_a_lower_one() -> None:
    gate = threading.Event()

    def work(waits: bool) -> int:
        assert not waits or gate.wait(10)
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def run() -> None:
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        pool = FairPool(1, "test", beside=True)
        flood = of("flood", pool.run(work, True))
        await asyncio.sleep(0)
        assert await of("modest", pool.run(work, False)) == usual
        gate.set()
        assert await flood == min(usual + BULK_NICENESS, 19)
        pool.close()

    asyncio.run(run())


def test_a_pool_hands_on_what_was_raised_and_goes_on() -> None:
    async def run() -> None:
        pool = FairPool(1, "test")
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await pool.run(divmod, 1, 0)
        assert await pool.run(divmod, 7, 2) == (3, 1)
        pool.close()

    asyncio.run(run())


ROOM = 4


@pytest.fixture
def flooded(tmp_path: Path, small_flags: tuple[str, ...], support: uploads.Labelled) -> Iterator[tuple[httpx.Client, str]]:
    """The client of a modest tenant, and its task, on a server that another tenant floods."""
    data_dir = tmp_path / "data"
    keys = {}
    for tenant in ("modest", "flood"):
        made = run_server("keys", "create", "--tenant", tenant, "--scope", "write", "--data-dir", str(data_dir), folder=tmp_path)
        keys[tenant] = {"Authorization": f"Bearer {made.stdout.strip()}"}
    large = io.BytesIO()
    Image.new("RGB", (4000, 4000), "green").save(large, "PNG")  # a good while to decode, and little to send
    done, full = threading.Event(), threading.Event()
    limits = ("--queue-images", str(ROOM), "--max-images", str(ROOM))
    with ServerProcess(data_dir, *small_flags, *limits) as server:
        tasks = {}
        for tenant, key in keys.items():
            made_task = httpx.post(f"{server.url}/v1/tasks", **uploads.multipart([*support[:2], *support[-2:]]), headers=key)
            tasks[tenant] = made_task.raise_for_status().headers["location"]

        def flood() -> None:
            with httpx.Client(base_url=server.url, timeout=60, headers=keys["flood"]) as api:
                while not done.is_set():
                    if api.post(f"{tasks['flood']}/predict", **uploads.queries([large.getvalue()] * ROOM)).status_code == 200:
                        full.set()  # The other thread's images are let in.

        threads = [threading.Thread(target=flood) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            assert full.wait(60)
            with httpx.Client(base_url=server.url, timeout=60, headers=keys["modest"]) as api:
                yield api, tasks["modest"]
        finally:
            done.set()
            for thread in threads:
                thread.join()


def test_a_server_that_a_tenant_fills_answers_another(flooded: tuple[httpx.Client, str], support: uploads.Labelled) -> None:
    api, task = flooded
    for _ in range(20):  # It is full all the time.
        assert api.post(f"{task}/predict", content=support[0][1]).status_code == 200
    assert api.post("/v1/tasks", **uploads.multipart([support[0], support[-1]])).status_code == 201
