"""The door at which requests with images wait: who is let in, who waits, and that nothing stays behind."""

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from server import door as door_module
from server.context import tenant_id
from server.door import Door
from server.errors import Overloaded
from tests.helpers import uploads
from tests.helpers.servers import ServerProcess, run_server

ROOM, PLACES = 16, 30
LARGEST = ROOM // 8
TENANTS = ("flood", "modest", "third")


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """A request keeps its room, however long this machine lets a test wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door_module, "_SECONDS_TO_EMBEDDING", 60.0)
        yield


def has_room(_tenant: str) -> bool:
    return True


class Visitor:
    """A request: its way through the door."""

    def __init__(self, door: Door, tenant: str, weight: int = 1, images: int | None = None) -> None:
        self.inside = False
        self.reads, self.done = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._visit(door, tenant, weight, images))

    async def _visit(self, door: Door, tenant: str, weight: int, images: int | None) -> None:
        tenant_id.set(tenant)
        try:
            async with door.passed(weight):
                self.inside = True
                await self.reads.wait()
                self.inside = False
                async with door.embedding(weight if images is None else images):
                    self.inside = True
                    await self.done.wait()
                self.inside = False
        finally:
            self.inside = False

    async def end(self) -> None:
        self.reads.set()
        self.done.set()
        await self.task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def visitors(door: Door, tenant: str, count: int, weight: int = 1) -> list[Visitor]:
    made = [Visitor(door, tenant, weight) for _ in range(count)]
    await settled()
    return made


async def assert_empty(door: Door) -> None:
    """The whole room is there for one tenant."""
    all_ = await visitors(door, "nobody", ROOM + 1)
    assert [one.inside for one in all_] == [True] * ROOM + [False]
    for one in all_:
        await one.end()


def test_a_flood_waits_in_its_order_and_a_tenant_within_its_share_comes_in_at_once() -> None:
    async def run() -> None:
        door = Door(ROOM, PLACES, 60, has_room)
        flood = await visitors(door, "flood", ROOM + 3)
        assert [one.inside for one in flood] == [True] * ROOM + [False] * 3
        modest = await visitors(door, "modest", 2)
        assert all(one.inside for one in modest)
        for one in flood[:2]:
            await one.end()
        await settled()
        assert not any(one.inside for one in flood[ROOM:]), "the room is still taken beyond its end"
        await flood[2].end()
        await settled()
        assert [one.inside for one in flood[ROOM:]] == [True, False, False]
        for one in [*flood[3:], *modest]:
            await one.end()
        await assert_empty(door)

    asyncio.run(run())


def test_who_has_least_inside_is_next() -> None:
    async def run() -> None:
        door = Door(ROOM, PLACES, 60, has_room)
        flood = await visitors(door, "flood", ROOM + 4)
        modest = await visitors(door, "modest", ROOM)
        assert sum(one.inside for one in modest) == ROOM // 2, "its share, though all room was taken"
        half = ROOM // 2
        for one in flood[:half]:
            await one.end()
        await settled()
        assert not any(one.inside for one in [*flood[ROOM:], *modest[half:]])
        await modest[0].end()
        await settled()
        assert modest[half].inside
        assert not any(one.inside for one in flood[ROOM:])
        for one in flood[half : half + 2]:
            await one.end()
        await settled()
        assert [one.inside for one in flood[ROOM:]] == [True, True, False, False]
        assert not modest[half + 1].inside
        for one in [*flood[half + 2 :], *modest[1:]]:
            await one.end()
        await assert_empty(door)

    asyncio.run(run())


def test_a_large_request_counts_for_what_it_turns_out_to_bring() -> None:
    async def run() -> None:
        door = Door(ROOM, PLACES, 60, has_room)
        large = Visitor(door, "flood", weight=1000, images=ROOM + 5)
        await settled()
        beside = await visitors(door, "flood", ROOM - LARGEST + 1)
        assert [one.inside for one in beside] == [True] * (ROOM - LARGEST) + [False]
        large.reads.set()
        for one in beside[:-1]:
            await one.end()
        await settled()
        assert large.inside
        assert not beside[-1].inside
        await large.end()
        await settled()
        assert beside[-1].inside
        await beside[-1].end()
        await assert_empty(door)

    asyncio.run(run())


def test_a_tenant_without_room_holds_up_no_other_and_comes_in_when_there_is_some() -> None:
    async def run() -> None:
        full = {"modest"}
        door = Door(ROOM, PLACES, 60, lambda tenant: tenant not in full)
        modest = await visitors(door, "modest", 1)
        flood = await visitors(door, "flood", ROOM + 1)
        assert [one.inside for one in (*modest, *flood)] == [False] + [True] * ROOM + [False]
        for one in flood:
            await one.end()
        await settled()
        assert not modest[0].inside
        full.clear()  # Another process has given its room back, and says so to nobody.
        async with asyncio.timeout(30):
            while not modest[0].inside:
                await asyncio.sleep(0.001)
        await modest[0].end()
        await assert_empty(door)

    asyncio.run(run())


def test_who_brings_fewer_images_than_it_seemed_lets_others_in() -> None:
    async def run() -> None:
        door = Door(ROOM, PLACES, 60, has_room)
        large = [Visitor(door, "flood", LARGEST, 1) for _ in range(9)]
        await settled()
        assert [one.inside for one in large] == [True] * 8 + [False]
        for one in large[:2]:
            one.reads.set()
        await settled()
        assert large[8].inside
        for one in large:
            await one.end()
        await assert_empty(door)

    asyncio.run(run())


def test_who_does_not_come_to_embedding_in_time_leaves_and_waits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_SECONDS_TO_EMBEDDING", 0.0)

    async def run() -> None:
        door = Door(ROOM, PLACES, 60, has_room)
        slow = (await visitors(door, "flood", 1))[0]
        monkeypatch.setattr(door_module, "_SECONDS_TO_EMBEDDING", 60.0)
        while (others := await visitors(door, "flood", ROOM)) and not others[-1].inside:
            for one in others:  # The timer has not run yet.
                await one.end()
        slow.reads.set()
        await settled()
        assert not slow.inside
        await others[0].end()
        await settled()
        assert slow.inside
        for one in [*others[1:], slow]:
            await one.end()
        await assert_empty(door)

    asyncio.run(run())


def test_whose_turn_does_not_come_in_time_and_who_finds_no_place_is_refused() -> None:
    async def run() -> None:
        door = Door(ROOM, 1, 0.01, has_room)
        flood = await visitors(door, "flood", ROOM + 2)
        with pytest.raises(Overloaded, match="wait for their turn"):
            await flood[-1].task
        with pytest.raises(Overloaded, match=r"within 0\.01 seconds"):
            await flood[-2].task
        for one in flood[:ROOM]:
            await one.end()
        await assert_empty(Door(ROOM, PLACES, 60, has_room))

    asyncio.run(run())


@pytest.mark.parametrize("steps", range(8))
def test_who_is_cancelled_just_as_its_turn_comes_leaves(steps: int) -> None:
    async def run() -> None:
        door = Door(ROOM, PLACES, 60, has_room)
        flood = await visitors(door, "flood", ROOM + 1)
        flood[0].reads.set()
        flood[0].done.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        flood[-1].task.cancel()
        for one in flood[:-1]:
            await one.end()
        await asyncio.gather(flood[-1].task, return_exceptions=True)
        await assert_empty(door)

    asyncio.run(run())


# A visitor comes with a weight, has read its body, is done, or is cancelled.
VISITS = st.tuples(st.sampled_from(TENANTS), st.integers(1, 40), st.integers(1, 40))
STEPS = st.lists(st.one_of(VISITS, st.tuples(st.sampled_from(["reads", "done", "cancel"]), st.integers(0, 30))), max_size=60)


@settings(deadline=None)
@given(steps=STEPS)
def test_whatever_happens_nobody_waits_for_room_that_is_there_and_nothing_stays_behind(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        door = Door(ROOM, 1000, 60, has_room)
        there: list[Visitor] = []
        for what, *numbers in steps:
            if what in TENANTS:
                there.append(Visitor(door, what, *numbers))
            elif there and what == "cancel":
                there[numbers[0] % len(there)].task.cancel()
            elif there:
                one = there[numbers[0] % len(there)]
                one.reads.set()
                if what == "done":
                    one.done.set()
            await settled()
            unfinished = [one for one in there if not one.task.done()]
            assert not unfinished or any(one.inside for one in unfinished)
        for one in there:
            one.reads.set()
            one.done.set()
        await asyncio.gather(*(one.task for one in there), return_exceptions=True)
        await assert_empty(door)

    asyncio.run(run())


def test_a_server_with_keys_lets_a_flood_wait_and_answers_another_tenant(
    tmp_path: Path, small_flags: tuple[str, ...], support: uploads.Labelled
) -> None:
    data_dir, keys = tmp_path / "data", {}
    for tenant, scope in (("default", "manage"), ("modest", "write"), ("flood", "write")):
        made = run_server("keys", "create", "--tenant", tenant, "--scope", scope, "--data-dir", str(data_dir), folder=tmp_path)
        keys[tenant] = {"Authorization": f"Bearer {made.stdout.strip()}"}
    large = io.BytesIO()
    Image.new("RGB", (4000, 4000), "green").save(large, "PNG")  # a good while to decode, and little to send
    limits = ("--queue-images", "48", "--max-images", "6", "--queue-seconds", "0.2")
    with ServerProcess(data_dir, *small_flags, *limits) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        tasks = {}
        for tenant, key in keys.items():
            made_task = api.post("/v1/tasks", **uploads.multipart([*support[:2], *support[-2:]]), headers=key)
            tasks[tenant] = f"{made_task.raise_for_status().headers['location']}/predict"
        with ThreadPoolExecutor(1) as pool:
            form = uploads.queries([large.getvalue()] * 6)
            fills = pool.submit(httpx.post, server.url + tasks["flood"], **form, headers=keys["flood"], timeout=60)
            while (
                "} 6.0\n"
                not in api.get("/metrics", headers=keys["default"]).text.partition("headstart_admitted_images{")[2][:100]
            ):
                assert not fills.done()
            refused = api.post(tasks["flood"], content=support[0][1], headers=keys["flood"])
            answered = api.post(tasks["modest"], content=support[0][1], headers=keys["modest"])
            assert fills.result().status_code == 200
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "turn did not come within 0.2 seconds" in refused.json()["detail"]
        assert answered.status_code == 200
        assert api.post(tasks["flood"], content=support[0][1], headers=keys["flood"]).status_code == 200
