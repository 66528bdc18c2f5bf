"""Heads in memory for requests that ask many tasks: those asked for, within a bound, and no others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.heads.apply import Probabilities
from models.heads.head import EmbeddingSpace, Float32, Head
from server.cache import heads as active
from server.cache.heads import ActiveHeads, LoadedMany
from server.metrics import Metrics
from server.store.records import TaskKey
from server.store.store import Store
from tests.helpers.databases import database_url
from tests.helpers.stored import BACKBONE, DIM, add, create

pytestmark = pytest.mark.each_database

T = "default"
SPACE = EmbeddingSpace(BACKBONE, np.full(DIM, 0.1, np.float32))
EMBEDDINGS: Float32 = np.random.default_rng(0).normal(size=(3, DIM)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(database_url(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def heads(store: Store) -> ActiveHeads:
    return ActiveHeads(store, Metrics())


def assert_of(loaded: LoadedMany, expected: list[Head | None]) -> None:
    """That each of the heads is there, in its place and whole, and nothing else is."""
    found: dict[int, Probabilities] = {}
    for stack in loaded.stacks:
        found |= zip(stack.positions, stack.probabilities(EMBEDDINGS, SPACE), strict=True)
    assert sorted([*found, *loaded.missing]) == list(range(len(expected)))
    for position, head in enumerate(expected):
        assert (position in loaded.missing) == (head is None)
        if head is not None:
            np.testing.assert_allclose(found[position], head.probabilities(EMBEDDINGS, SPACE), atol=1e-6)


def test_heads_asked_for_again_are_the_same(store: Store, heads: ActiveHeads) -> None:
    task, other = create(store), create(store, labels=("ant", "bee", "fly"))
    newer = add(store, task, "bird")
    wanted = [(other.id, 1), (task.id, 2), (task.id, 1), (other.id, 1)]
    expected: list[Head | None] = [store.tasks.head(TaskKey(T, each[0]), each[1]) for each in wanted]
    assert newer.version.number == 2
    for _ in range(3):
        assert_of(heads.load_many(T, wanted), expected)
    assert_of(heads.load_many(T, wanted[:2]), expected[:2])
    assert_of(heads.load_many(T, wanted[::-1]), expected[::-1])
    assert heads.cached(task.key, 2) is not None


def test_another_tenant_asking_for_the_same_gets_none(store: Store, heads: ActiveHeads) -> None:
    wanted = [(create(store).id, 1)]
    assert_of(heads.load_many(T, wanted), [store.tasks.head(TaskKey(T, wanted[0][0]), wanted[0][1])])
    assert_of(heads.load_many("other", wanted), [None])
    assert_of(heads.load_many(T, wanted), [store.tasks.head(TaskKey(T, wanted[0][0]), wanted[0][1])])


def test_removed_versions_leave_at_once(store: Store, heads: ActiveHeads) -> None:
    gone, stays = create(store), create(store)
    wanted = [(gone.id, 1), (stays.id, 1)]
    held = heads.load_many(T, wanted)
    before: list[Head | None] = [store.tasks.head(TaskKey(T, each[0]), each[1]) for each in wanted]
    heads.drop(gone.key, store.tasks.delete(gone.key))
    for _ in range(2):
        assert_of(heads.load_many(T, wanted), [None, before[1]])
    assert_of(held, before)  # a request that was under way


def test_what_is_removed_while_it_is_read_is_not_kept(store: Store, heads: ActiveHeads, monkeypatch: pytest.MonkeyPatch) -> None:
    task = create(store)
    wanted = [(task.id, 1)]
    read = store.tasks.heads

    def late(tenant: str, names: list[tuple[str, int]]) -> dict[tuple[str, int], Head]:
        found = read(tenant, names)
        heads.drop(task.key, store.tasks.delete(task.key))
        return found

    monkeypatch.setattr(store.tasks, "heads", late)
    assert not heads.load_many(T, wanted).missing
    monkeypatch.undo()
    assert heads.cached(task.key, 1) is None
    assert_of(heads.load_many(T, wanted), [None])


def test_what_is_kept_of_many_requests_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [(create(store).id, 1) for _ in range(6)]
    one = ActiveHeads(store, Metrics()).load_many(T, tasks[:1]).nbytes
    assert one > 2 * DIM * 4
    monkeypatch.setattr(active, "_MAX_MANY_BYTES", 2 * one)
    heads = ActiveHeads(store, Metrics())

    def kept(wanted: list[tuple[str, int]]) -> bool:
        return heads.load_many(T, wanted) is heads.load_many(T, wanted)

    assert kept(tasks[:2])
    assert not kept(tasks[:3])
    first = heads.load_many(T, tasks[:1])
    assert heads.load_many(T, tasks[1:2]) is not first
    assert heads.load_many(T, tasks[:1]) is first
    heads.load_many(T, tasks[2:3])  # for which the second leaves, used longer ago than the first
    assert heads.load_many(T, tasks[:1]) is first


def test_heads_in_memory_are_bounded_together_whatever_number_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [create(store).key for _ in range(6)]
    size = store.tasks.head(keys[0], 1).weight.nbytes + active._HEAD_BYTES
    monkeypatch.setattr(active, "_MAX_BYTES", 2 * size)
    metrics = Metrics()
    heads = ActiveHeads(store, metrics)
    for key in keys:
        heads.load(key, 1)
    assert [heads.cached(key, 1) is not None for key in keys] == [False] * 4 + [True] * 2
    heads.load_many(T, [(key.id, 1) for key in keys])
    assert sum(heads.cached(key, 1) is not None for key in keys) == 2
    assert metrics.active_heads._value.get() == 2
