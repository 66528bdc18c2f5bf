"""Images of several processes, embedded by one: here its part runs on a thread with an engine that can be slowed and broken."""

import asyncio
import contextvars
import socket
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.shared.setting import paper_bundle
from models.answers.question import Answer, Question
from models.bundle import ONNX, Bundle, BundleError
from models.engine import MAX_BATCH, EngineError, EngineKind
from models.heads.head import Float32, Head
from models.images.preprocess import Pixels
from server.context import tenant_id
from server.engine.shared import device as device_module
from server.engine.shared.board import unpacked
from server.engine.shared.connection import Connection
from server.engine.shared.device import Device
from server.engine.shared.remote import RemoteBatcher, RemoteEngine
from server.errors import EngineFailed
from server.keys import DEFAULT_TENANT
from server.listening import local_listener
from server.metrics import Metrics, Stopwatch
from server.settings import Settings
from server.tracing import Tracing
from tests.server.test_batcher import until

SLOTS = 2 * MAX_BATCH


class SlowEngine:
    """Embeds an image as its first bytes. Waits for `gate` before each batch; fails while `broken`."""

    parallel = 1
    device = None
    opens_its_gate = True
    max_batch = MAX_BATCH

    def __init__(self, bundle: Bundle, kind: EngineKind) -> None:
        self.kind: EngineKind = "onnx" if kind == "auto" else kind
        self.space = bundle.space(ONNX)
        self.gate = threading.Event()
        if self.opens_its_gate:
            self.gate.set()
        self.broken = False
        self.entered = threading.Event()
        self.batches: list[int] = []
        self.first_bytes: list[set[int]] = []

    def embed(self, pixels: Pixels) -> Float32:
        self.batches.append(len(pixels))
        self.first_bytes.append(set(pixels[:, 0, 0, 0].tolist()))
        self.entered.set()
        assert self.gate.wait(30)
        if self.broken:
            raise ValueError
        return embedded(pixels, len(self.space.mean))


def embedded(pixels: Pixels, width: int) -> Float32:
    return pixels.reshape(len(pixels), -1)[:, :width].astype(np.float32)


class Place:
    """Where the engines run: a thread with an event loop. `restart` ends it as a crash would, and starts another.

    Attributes:
        opened: the engines that were opened so far.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engines"
        self.opened: list[SlowEngine] = []
        self._remembered = folder / "open"
        self._settings = Settings(data_dir=folder, workers=2, shared_engine=True)
        self.listener = local_listener(self.path)
        self.start()

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.device = self.on_loop(self._begin())

    async def _begin(self) -> Device:
        device = Device(self._settings, Metrics(), None, self._remembered)
        await device.open_remembered()
        self._own = self.listener.dup()
        device.accept_from(self._own)
        return device

    def on_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def crash(self) -> None:
        """Ends all connections, with what was under way."""

        async def end() -> None:
            self.loop.remove_reader(self._own)
            self.device._leaving = True
            for guest in list(self.device._guests):
                guest._close()

        self.on_loop(end())
        self.stop()

    def leave(self) -> None:
        self.on_loop(self.device.leave(self._own, 10.0))
        self.stop()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self._own.close()
        self.loop.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    opened: list[SlowEngine] = []

    def open_slow(bundle: Bundle, kind: EngineKind, *_ignored: object) -> SlowEngine:
        opened.append(SlowEngine(bundle, kind))
        return opened[-1]

    monkeypatch.setattr(device_module, "open_engine", open_slow)
    place = Place(tmp_path)
    place.opened = opened
    yield place
    for engine in opened:
        engine.gate.set()
    if not place.loop.is_closed():
        place.leave()
    place.listener.close()


def answers(embeddings: Float32, asked: Sequence[tuple[Question, slice]]) -> Sequence[Answer]:
    """The first number of each embedding for a probability."""
    return [Answer(embeddings[rows, :1].astype(np.float64), None) for _, rows in asked]


def batcher_of(place: Place, longest_wait: float = 10.0, kind: EngineKind = "onnx") -> RemoteBatcher:
    return RemoteBatcher(RemoteEngine(paper_bundle(), kind, place.path), answers, 1000, "a@1", Metrics(), longest_wait)


def images(count: int, first: int = 0) -> Pixels:
    pixels = np.zeros((count, 32, 32, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(first, first + count) % 256
    return pixels


def connection_of(batcher: RemoteBatcher) -> Connection:
    assert batcher._connection is not None
    return batcher._connection


async def entered(engine: SlowEngine) -> None:
    assert await asyncio.to_thread(engine.entered.wait, 10)


def waiting(place: Place) -> int:
    """The images that wait for the engine."""
    return sum(running.batcher._queue.images for running in place.device._running.values())


def check(pixels: Pixels, embeddings: Float32) -> None:
    np.testing.assert_array_equal(embeddings, embedded(pixels, embeddings.shape[1]))


def test_processes_share_batches_and_each_gets_its_own_embeddings(place: Place) -> None:
    batchers = [batcher_of(place), batcher_of(place)]
    (engine,) = place.opened

    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batchers[0].embed(images(1)))
        await entered(engine)
        sets = [images(count, 10 * count) for count in range(1, 6)]
        others = [asyncio.create_task(batchers[at % 2].embed(pixels)) for at, pixels in enumerate(sets)]
        await until(lambda: waiting(place) == 15)
        engine.gate.set()
        await first
        for pixels, other in zip(sets, others, strict=True):
            check(pixels, await other)

    asyncio.run(run())
    assert engine.batches == [1, 15]
    for batcher in batchers:
        batcher.close()


def test_tenants_take_turns_over_all_processes(place: Place) -> None:
    flooded, quiet = batcher_of(place), batcher_of(place)
    (engine,) = place.opened

    async def ask(batcher: RemoteBatcher, tenant: str, pixels: Pixels) -> None:
        tenant_id.set(tenant)
        await batcher.embed(pixels)

    async def run() -> None:
        engine.gate.clear()
        flood = [asyncio.create_task(ask(flooded, "flood", images(MAX_BATCH // 2)))]
        await entered(engine)
        flood += [asyncio.create_task(ask(flooded, "flood", images(MAX_BATCH // 2))) for _ in range(3)]
        await until(lambda: waiting(place) == 3 * MAX_BATCH // 2)
        late = asyncio.create_task(ask(quiet, "quiet", images(1, 200)))
        await until(lambda: waiting(place) == 3 * MAX_BATCH // 2 + 1)
        engine.gate.set()
        await asyncio.gather(*flood, late)

    asyncio.run(run())
    assert 200 in engine.first_bytes[1]  # It came last, and is in the next batch.
    for batcher in (flooded, quiet):
        batcher.close()


def test_more_images_than_there_are_slots_wait_and_stay_apart(place: Place) -> None:
    batcher = batcher_of(place)

    async def ask(at: int) -> None:
        pixels = images(1 + at % (2 * MAX_BATCH), at)
        check(pixels, await batcher.embed(pixels))

    async def run() -> None:
        await asyncio.gather(*map(ask, range(300)))

    asyncio.run(run())
    assert connection_of(batcher)._slots.free == SLOTS
    batcher.close()


def test_cancelled_requests_leave_nothing_behind(place: Place) -> None:
    batcher = batcher_of(place)
    (engine,) = place.opened

    async def run() -> None:
        engine.gate.clear()
        begun = asyncio.create_task(batcher.embed(images(1)))
        await entered(engine)
        sent = asyncio.create_task(batcher.embed(images(3)))
        await until(lambda: waiting(place) == 3)
        kept_back = [asyncio.create_task(batcher.embed(images(MAX_BATCH))) for _ in range(4)]
        await asyncio.sleep(0)
        for task in (begun, sent, *kept_back):
            task.cancel()
        await asyncio.gather(begun, sent, *kept_back, return_exceptions=True)
        await until(lambda: connection_of(batcher)._slots.free == SLOTS)
        engine.gate.set()
        check(images(2), await batcher.embed(images(2)))

    asyncio.run(run())
    assert engine.batches == [1, 2]
    batcher.close()


def test_what_was_under_way_in_a_crash_is_sent_again_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    batcher = batcher_of(place)

    async def crash() -> None:
        await entered(place.opened[-1])
        await asyncio.to_thread(place.crash)
        await asyncio.to_thread(place.start)

    async def run() -> None:
        place.opened[-1].gate.clear()
        asked = asyncio.create_task(batcher.embed(images(3, 5)))
        await crash()
        check(images(3, 5), await asked)
        monkeypatch.setattr(SlowEngine, "opens_its_gate", False)
        place.opened[-1].entered.clear()
        place.opened[-1].gate.clear()
        asked = asyncio.create_task(batcher.embed(images(1)))
        await crash()
        await crash()
        with pytest.raises(EngineFailed, match="replaced"):
            await asked
        place.opened[-1].gate.set()
        check(images(2), await batcher.embed(images(2)))

    asyncio.run(run())
    batcher.close()


def test_images_wait_for_a_new_place_no_longer_than_they_may(place: Place) -> None:
    batcher = batcher_of(place, longest_wait=0.3)

    async def run() -> None:
        check(images(1), await batcher.embed(images(1)))
        await asyncio.to_thread(place.crash)
        with pytest.raises(EngineFailed, match="replaced"):
            await batcher.embed(images(1))
        with batcher.admit(10):
            await asyncio.to_thread(place.start)
            await until(lambda: batcher._connection is not None)
            assert unpacked(int(place.device._running.popitem()[1].board.rows.sum())) == (10, 10)
        check(images(1), await batcher.embed(images(1)))

    asyncio.run(run())
    batcher.close()


def test_a_place_that_leaves_answers_what_it_took_and_another_has_the_engine_open(place: Place) -> None:
    batcher = batcher_of(place, kind="auto")
    (engine,) = place.opened

    async def run() -> None:
        engine.gate.clear()
        asked = asyncio.create_task(batcher.embed(images(3, 5)))
        await entered(engine)
        before = connection_of(batcher)
        old = place.device, place.loop, place._own, place._thread
        place.start()
        assert len(place.opened) == 2  # before it takes a connection
        leaving = asyncio.run_coroutine_threadsafe(old[0].leave(old[2], 10.0), old[1])
        await until(lambda: batcher._connection not in {None, before})
        check(images(2), await batcher.embed(images(2)))
        assert place.opened[1].batches == [2]
        assert not leaving.done()
        engine.gate.set()
        check(images(3, 5), await asked)
        await asyncio.wrap_future(leaving)
        old[1].call_soon_threadsafe(old[1].stop)
        old[3].join()
        old[2].close()
        old[1].close()

    asyncio.run(run())
    assert len(place.opened) == 2
    batcher.close()


def test_a_failure_of_the_engine_is_the_callers_and_the_next_batch_runs(place: Place) -> None:
    batcher = batcher_of(place)
    (engine,) = place.opened

    async def run() -> None:
        engine.broken = True
        with pytest.raises(EngineFailed, match="engine failed"):
            await batcher.embed(images(1))
        engine.broken = False
        check(images(1), await batcher.embed(images(1)))

    asyncio.run(run())
    batcher.close()


def test_questions_are_answered_where_they_were_asked(place: Place) -> None:
    batcher = batcher_of(place)
    question = Question(Head.__new__(Head))

    async def run() -> None:
        results = await asyncio.gather(*(batcher.run(images(count, count), question) for count in range(1, 2 * MAX_BATCH, 7)))
        for count, result in zip(range(1, 2 * MAX_BATCH, 7), results, strict=True):
            assert result.answer is not None
            np.testing.assert_array_equal(result.answer.probabilities[:, 0], np.arange(count, 2 * count))

    asyncio.run(run())
    batcher.close()


def test_background_work_comes_after_other_images(place: Place) -> None:
    batcher = batcher_of(place)
    (engine,) = place.opened

    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await entered(engine)
        background = asyncio.create_task(batcher.embed_in_background(images(5)))
        other = asyncio.create_task(batcher.embed(images(3)))
        await until(lambda: waiting(place) == 3 and len(place.device._guests) == 1)
        engine.gate.set()
        await asyncio.gather(first, other)
        check(images(5), await background)

    asyncio.run(run())
    assert engine.batches[:2] == [1, 3]
    assert max(engine.batches[2:]) <= 2
    batcher.close()


def test_what_cannot_be_opened_is_told_with_its_reason(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_any: object) -> SlowEngine:
        raise EngineError("no device")

    monkeypatch.setattr(device_module, "open_engine", refuse)
    with pytest.raises(EngineError, match="no device"):
        batcher_of(place)
    bundle = paper_bundle()
    renamed = bundle.manifest.model_copy(update={"name": "unknown"})
    with pytest.raises(BundleError, match="not on this server"):
        RemoteEngine(replace(bundle, manifest=renamed), "onnx", place.path)
    changed = bundle.manifest.model_copy(update={"files": {}})
    with pytest.raises(BundleError, match="changed"):
        RemoteEngine(replace(bundle, manifest=changed), "onnx", place.path)


def test_a_batch_is_in_the_trace_of_the_request_that_waits_for_it(place: Place) -> None:
    """The two are of different processes otherwise, so only what a message carries joins them."""
    kept, here = InMemorySpanExporter(), TracerProvider()
    here.add_span_processor(SimpleSpanProcessor(kept))
    place.device._tracing = Tracing(here)
    batcher = batcher_of(place)

    async def run() -> None:
        Tracing(here).begin("POST", "http", {}, "one")
        with Stopwatch(Metrics()).stage("embed"):
            await batcher.embed(images(3))

    contextvars.copy_context().run(asyncio.run, run())
    batcher.close()
    spans = {span.name: span for span in kept.get_finished_spans()}
    batch, embed = spans["batch"], spans["embed"]
    assert batch.context is not None
    assert embed.context is not None
    assert batch.parent is not None
    assert batch.context.trace_id == embed.context.trace_id
    assert batch.parent.span_id == embed.context.span_id
    assert [link.context.span_id for link in batch.links] == [embed.context.span_id]


def test_an_engine_is_closed_with_its_last_user(place: Place) -> None:
    batchers = [batcher_of(place), batcher_of(place)]
    assert len(place.opened) == 1

    async def run() -> None:
        batchers[0].close()
        check(images(1), await batchers[1].embed(images(1)))
        batchers[1].close()
        await until(lambda: not place.device._running and not place.device._closing)

    asyncio.run(run())
    batcher_of(place).close()
    assert len(place.opened) == 2


def test_a_process_that_is_gone_leaves_nothing_admitted(place: Place) -> None:
    gone, other = batcher_of(place), batcher_of(place)

    async def run() -> None:
        with gone.admit(600):
            assert other.room(DEFAULT_TENANT) == 400
            gone._closing = True  # It does not connect again.
            connection_of(gone)._hang_up()
            await until(lambda: other.room(DEFAULT_TENANT) == 1000)

    asyncio.run(run())
    for batcher in (gone, other):
        batcher.close()


def test_a_process_that_sends_what_is_no_message_harms_nobody(place: Place) -> None:
    broken, other = batcher_of(place), batcher_of(place)

    async def run() -> None:
        connection = connection_of(broken)
        connection._socket.sendall(b"x" * 1000)
        await until(lambda: broken._connection not in {None, connection})
        check(images(1), await other.embed(images(1)))
        check(images(1), await broken.embed(images(1)))

    asyncio.run(run())
    for batcher in (broken, other):
        batcher.close()


def test_a_process_that_goes_before_it_is_served_harms_nobody(place: Place) -> None:
    for sent in (b"", b"{}\n", b"no\n"):
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect(str(place.path))
            connected.sendall(sent)

    async def run() -> None:
        batcher = batcher_of(place)
        check(images(1), await batcher.embed(images(1)))
        batcher.close()

    asyncio.run(run())
