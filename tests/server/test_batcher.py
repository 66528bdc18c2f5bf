"""The batcher against an engine that obeys the real interface and can be slowed, watched and broken."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from models.answers.question import Answer, Question
from models.engine import MAX_BATCH, EngineKind
from models.heads.head import BackboneRef, EmbeddingSpace, Float32, Head
from models.images.preprocess import Pixels
from models.manifest import HeadOptions
from server.engine import queue as image_queue
from server.engine.batcher import Batcher
from server.engine.queue import Result
from server.errors import EngineFailed, Overloaded
from server.keys import DEFAULT_TENANT
from server.metrics import Metrics

CAPACITY = 200


def nothing_asked(_embeddings: Float32, asked: Sequence[tuple[Question, slice]]) -> Sequence[Answer]:
    """The answers of a batcher that nobody asks."""
    assert not asked
    return []


class WatchedEngine:
    """Embeds an image as its first two bytes. Waits for `gate` before each batch; fails while `broken`."""

    kind: EngineKind = "onnx"
    parallel = 1
    device = None
    max_batch = MAX_BATCH

    def __init__(self) -> None:
        self.space = EmbeddingSpace(BackboneRef("fake@1", "0" * 64), np.zeros(2, dtype=np.float32))
        self.gate = threading.Event()
        self.gate.set()
        self.broken: BaseException | None = None
        self.began: list[int] = []
        self.batches: list[int] = []
        self.entered = threading.Event()

    def embed(self, pixels: Pixels) -> Float32:
        self.began.append(len(pixels))
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append(len(pixels))
        if self.broken:
            raise self.broken
        return pixels[:, 0, 0, :2].astype(np.float32)


@pytest.fixture
def engine() -> WatchedEngine:
    return WatchedEngine()


@pytest.fixture
def batcher(engine: WatchedEngine) -> Iterator[Batcher]:
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())
    yield batcher
    engine.gate.set()
    batcher.close()


def images(count: int, first: int = 0) -> Pixels:
    pixels = np.zeros((count, 1, 1, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(first, first + count)
    return pixels


async def enter_engine(engine: WatchedEngine) -> None:
    """Returns once the engine has begun a batch."""
    assert await asyncio.to_thread(engine.entered.wait, 10)


async def until(there: Callable[[], bool]) -> None:
    """Returns once it is so."""
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.001)


def waiting_threads(batcher: Batcher) -> int:
    """The batcher's threads that wait to be told of work."""
    return len(batcher._wake._waiters)  # type: ignore[attr-defined]


def test_everyone_gets_their_own_embeddings(batcher: Batcher) -> None:
    async def run() -> None:
        answers = await asyncio.gather(*(batcher.embed(images(n, first=n)) for n in range(1, 12)))
        for n, answer in enumerate(answers, start=1):
            np.testing.assert_array_equal(answer[:, 0], np.arange(n, 2 * n))

    asyncio.run(run())


def test_what_arrives_while_the_engine_works_is_the_next_batch(batcher: Batcher, engine: WatchedEngine) -> None:
    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        others = [asyncio.create_task(batcher.embed(images(2))) for _ in range(5)]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    assert engine.batches == [1, 10]


def test_a_large_set_goes_in_capped_batches_and_starves_nobody(batcher: Batcher, engine: WatchedEngine) -> None:
    async def run() -> None:
        engine.gate.clear()
        large = asyncio.create_task(batcher.embed(images(4 * MAX_BATCH)))
        await enter_engine(engine)
        small = asyncio.create_task(batcher.embed(images(1)))
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(large, small)

    asyncio.run(run())
    assert sorted(engine.batches) == [1] + [MAX_BATCH] * 4
    assert engine.batches.index(1) <= 2


def test_an_entry_whose_client_has_gone_is_skipped(batcher: Batcher, engine: WatchedEngine) -> None:
    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        gone = asyncio.create_task(batcher.embed(images(7)))
        stays = asyncio.create_task(batcher.embed(images(2)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, stays)

    asyncio.run(run())
    assert engine.batches == [1, 2]


def test_a_failed_batch_answers_every_waiter_and_the_next_one_works(batcher: Batcher, engine: WatchedEngine) -> None:
    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        waiting = [asyncio.create_task(batcher.embed(images(1))) for _ in range(3)]
        await asyncio.sleep(0)
        engine.broken = RuntimeError("out of memory")
        engine.gate.set()
        answers = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [EngineFailed] * 4
        engine.broken = None
        assert (await batcher.embed(images(3))).shape == (3, 2)

    asyncio.run(run())


def test_a_batch_that_cannot_even_be_put_together_answers_its_waiters(batcher: Batcher, engine: WatchedEngine) -> None:
    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        odd = [asyncio.create_task(batcher.embed(np.zeros((1, side, 1, 3), dtype=np.uint8))) for side in (1, 2)]
        await asyncio.sleep(0)
        engine.gate.set()
        answers = await asyncio.wait_for(asyncio.gather(first, *odd, return_exceptions=True), 10)
        assert [type(answer) for answer in answers[1:]] == [EngineFailed] * 2

    asyncio.run(run())


def test_what_would_wait_too_long_is_refused_and_the_first_never(engine: WatchedEngine) -> None:
    engine.max_batch = 1
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics(), longest_wait=0.05)

    async def embed_in(seconds: float) -> None:
        engine.gate.clear()
        asyncio.get_running_loop().call_later(seconds, engine.gate.set)
        await batcher.embed(images(1))

    async def run() -> None:
        with batcher.admit(CAPACITY - 1):
            assert batcher.room(DEFAULT_TENANT) == 1  # Nothing is known yet of how long images wait.
        for _ in range(20):
            await embed_in(0.03)
        with batcher.admit(CAPACITY):
            assert batcher.room(DEFAULT_TENANT) == 0
        with batcher.admit(1):
            assert batcher.room(DEFAULT_TENANT) == CAPACITY - 1
            with batcher.admit(1), pytest.raises(Overloaded, match=r"0\.05 seconds"), batcher.admit(1):
                pass
        await embed_in(1.0)  # A hiccup is not how long images wait.
        with batcher.admit(1):
            assert batcher.room(DEFAULT_TENANT) == CAPACITY - 1

    asyncio.run(run())
    batcher.close()


def test_a_large_set_shuts_nobody_out(engine: WatchedEngine) -> None:
    engine.max_batch = 2
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics(), longest_wait=0.05)

    async def run() -> None:
        for _ in range(3):
            engine.gate.clear()
            asyncio.get_running_loop().call_later(0.06, engine.gate.set)
            await batcher.embed(images(2))
        with batcher.admit(CAPACITY - 2):
            assert batcher.room(DEFAULT_TENANT) == 2  # Another's batch would be next but one.
            with batcher.admit(2):
                assert batcher.room(DEFAULT_TENANT) == 0

    asyncio.run(run())
    batcher.close()


def test_threads_of_a_parallel_engine_share_out_what_is_queued(engine: WatchedEngine) -> None:
    engine.parallel = 2
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())

    async def run() -> None:
        engine.gate.clear()
        busy = []
        for _ in range(2):
            engine.entered.clear()
            busy.append(asyncio.create_task(batcher.embed(images(1))))
            await enter_engine(engine)
        others = [asyncio.create_task(batcher.embed(images(1, first=n))) for n in range(10)]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(*busy)
        for n, answer in enumerate(await asyncio.gather(*others)):
            assert answer[0, 0] == n

    asyncio.run(run())
    batcher.close()
    assert sum(engine.batches) == 12
    assert max(engine.batches) == 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_ends_its_thread_leaves_nobody_waiting(engine: WatchedEngine) -> None:
    engine.parallel = 2
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())

    async def run() -> None:
        engine.broken = SystemExit()
        stopped = False
        while not stopped:  # The other thread may take one more.
            with pytest.raises(EngineFailed) as failure:
                await batcher.embed(images(1))
            stopped = "stopped" in str(failure.value)

    asyncio.run(run())
    batcher.close()


def test_a_dead_thread_answers_its_waiters_and_refuses_new_ones(engine: WatchedEngine) -> None:
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())

    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        batcher_closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await until(lambda: batcher._closing)
        with pytest.raises(EngineFailed):
            await batcher.embed(images(1))
        engine.gate.set()
        assert (await first).shape == (1, 2)
        await batcher_closing

    asyncio.run(run())


def question(name: str) -> Question:
    options = HeadOptions(solver="prototype", C=1.0, centre=False, temperature=1.0)
    head = Head((name, "other"), np.zeros((2, 2), np.float32), np.zeros(2, np.float32), options, BackboneRef("fake@1", "0" * 64))
    return Question(head)


def test_questions_of_a_batch_are_answered_together(engine: WatchedEngine) -> None:
    batches: list[list[tuple[str, int, int]]] = []

    def answers(embeddings: Float32, asked: Sequence[tuple[Question, slice]]) -> Sequence[Answer]:
        batches.append([(each.head.labels[0], rows.start, rows.stop) for each, rows in asked])
        if any(each.head.labels[0] == "broken" for each, _ in asked):
            raise ArithmeticError
        return [Answer(embeddings[rows].astype(np.float64), None) for _, rows in asked]

    batcher = Batcher(engine, answers, CAPACITY, "fake@1", Metrics())

    async def ask() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        a, plain, b = (
            asyncio.create_task(batcher.run(images(count, first=count), asked))
            for count, asked in ((2, question("a")), (3, None), (MAX_BATCH + 1, question("b")))
        )
        await until(lambda: batcher._queue.images == 5 + MAX_BATCH)
        engine.gate.set()
        for count, result in ((2, await a), (MAX_BATCH + 1, await b)):
            assert result.answer is not None
            np.testing.assert_array_equal(result.answer.probabilities[:, 0], np.arange(count, 2 * count))
            np.testing.assert_array_equal(result.embeddings, result.answer.probabilities)
            assert result.seconds > 0
        assert ((await plain).answer, (await plain).seconds > 0) == (None, True)
        assert (await first).shape == (1, 2)
        engine.gate.clear()
        engine.entered.clear()
        busy = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        beside = [asyncio.create_task(batcher.run(images(1), asked)) for asked in (question("broken"), question("c"), None)]
        await until(lambda: batcher._queue.images == 3)
        engine.gate.set()
        await busy
        failed, answered, embedded = await asyncio.gather(*beside, return_exceptions=True)
        assert isinstance(failed, EngineFailed)  # It fails alone.
        assert isinstance(answered, Result)
        assert answered.answer is not None
        assert isinstance(embedded, Result)
        assert (await batcher.run(images(1), question("a"))).answer is not None

    asyncio.run(ask())
    batcher.close()
    assert batches == [
        [("a", 0, 2)],
        [("b", 0, MAX_BATCH)],
        [("b", 0, 1)],
        [("broken", 0, 1), ("c", 1, 2)],
        [("broken", 0, 1)],
        [("c", 1, 2)],
        [("a", 0, 1)],
    ]


def test_an_idle_thread_keeps_nothing_of_a_request(engine: WatchedEngine) -> None:
    batcher = Batcher(
        engine, lambda embeddings, asked: [Answer(embeddings[rows], None) for _, rows in asked], CAPACITY, "fake@1", Metrics()
    )

    async def ask() -> weakref.ref[Head]:
        asked = question("a")
        await batcher.run(images(1), asked)
        await until(lambda: waiting_threads(batcher) == 1)
        return weakref.ref(asked.head)

    assert asyncio.run(ask())() is None
    batcher.close()


def test_background_work_waits_for_everyone_else_in_chunks_of_its_own(batcher: Batcher, engine: WatchedEngine) -> None:
    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        background = asyncio.create_task(batcher.embed_in_background(images(5)))
        await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.embed(images(3))) for _ in range(2)]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *others)
        np.testing.assert_array_equal((await background)[:, 0], np.arange(5))

    asyncio.run(run())
    assert engine.batches == [1, 6, 2, 2, 1]


def test_background_work_leaves_a_thread_to_those_who_come(engine: WatchedEngine) -> None:
    engine.parallel = 2
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())

    async def run() -> None:
        engine.gate.clear()
        background = [asyncio.create_task(batcher.embed_in_background(images(2))) for _ in range(2)]
        await enter_engine(engine)
        await asyncio.sleep(0)
        await until(lambda: waiting_threads(batcher) == 1)  # The other thread has looked, and waits for what others bring.
        awaited = asyncio.create_task(batcher.embed(images(3)))
        await until(lambda: len(engine.began) == 2)
        engine.gate.set()
        await asyncio.gather(awaited, *background)

    asyncio.run(run())
    batcher.close()
    assert engine.began == [2, 3, 2]


def test_background_work_gets_on_while_others_never_stop_coming(batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_queue, "_LONGEST_BACKGROUND_WAIT", 0.01)

    async def run() -> None:
        background = asyncio.create_task(batcher.embed_in_background(images(30)))

        async def ask() -> None:
            while not background.done():
                await batcher.embed(images(1))

        await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(4))), 30)  # Somebody waits at any time.
        assert (await background).shape == (30, 2)

    asyncio.run(run())


@pytest.mark.parametrize("threads", [1, 2])
def test_background_work_is_answered_when_the_batcher_closes(engine: WatchedEngine, threads: int) -> None:
    engine.parallel = threads
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())

    async def run() -> None:
        engine.gate.clear()
        first = asyncio.create_task(batcher.embed(images(1)))
        await enter_engine(engine)
        background = [asyncio.create_task(batcher.embed_in_background(images(1))) for _ in range(2)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await until(lambda: batcher._closing)
        engine.gate.set()
        assert [len(answer) for answer in await asyncio.gather(first, *background)] == [1, 1, 1]
        await closing
        with pytest.raises(EngineFailed):
            await batcher.embed_in_background(images(1))

    asyncio.run(run())


def test_background_work_says_nothing_about_how_long_images_wait(engine: WatchedEngine) -> None:
    engine.max_batch = 4
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics(), longest_wait=0.05)

    async def run() -> None:
        for _ in range(20):
            engine.gate.clear()
            asyncio.get_running_loop().call_later(0.03, engine.gate.set)
            await batcher.embed_in_background(images(1))
        with batcher.admit(CAPACITY - 1):
            assert batcher.room(DEFAULT_TENANT) == 1

    asyncio.run(run())
    batcher.close()


def test_the_engine_leaves_memory_when_the_batcher_is_closed() -> None:
    engine = WatchedEngine()
    batcher = Batcher(engine, nothing_asked, CAPACITY, "fake@1", Metrics())
    alive = weakref.ref(engine)
    asyncio.run(batcher.embed(images(3)))
    del engine
    assert alive() is not None
    batcher.close()
    assert alive() is None


def test_admission_counts_images_and_refuses_at_once(batcher: Batcher) -> None:
    with batcher.admit(CAPACITY - 1):
        with pytest.raises(Overloaded, match=str(CAPACITY)), batcher.admit(2):
            pass
        with batcher.admit(1):
            pass
    with batcher.admit(CAPACITY):
        pass
