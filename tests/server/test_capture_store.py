"""Captures in the store against a model of it, and the writer in the background when the disk or the queue is full."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.changes import Changes
from server.errors import CaptureNotFound, StorageFailed, TaskNotFound
from server.ids import new_id
from server.metrics import Metrics
from server.store.capture_records import Answered, NewCapture
from server.store.capture_writer import CaptureWriter
from server.store.quota_records import Usage
from server.store.records import Asked, Task, TaskKey, VersionConflict
from server.store.store import Store
from tests.helpers.databases import database_url
from tests.helpers.leftovers import found_in
from tests.helpers.stored import BACKBONE, DIM, create, head_of, new_examples, open_empty

pytestmark = pytest.mark.each_database

T = "default"
_PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_empty(tmp_path)) as store:
        yield store


def captures(task: Task, count: int = 1, *, age: timedelta = timedelta(), size: int = 300) -> list[NewCapture]:
    """Captures that a task's version answered so long ago."""
    return [
        NewCapture(
            new_id("prediction"),
            task.key,
            task.version.number,
            BACKBONE.sha256,
            _PNG + os.urandom(size),
            np.random.default_rng(i).standard_normal(DIM, np.float32),
            Answered("cat", 0.25, True, 0.125),
            datetime.now(UTC) - age,
        )
        for i in range(count)
    ]


def ids(store: Store, task: Task) -> list[str]:
    """Of a task's captures, the newest first."""
    return list(store.captures.scan(task.key, BACKBONE.sha256, DIM).ids)


def test_tenants_may_use_the_same_ids(store: Store) -> None:
    """Ids never meet, since they are random. So only this shows that the tenant alone keeps captures apart."""
    mine, other = (
        store.tasks.create(TaskKey(tenant, "task_1"), tenant, new_examples(["cat", "dog"]), head_of(["cat", "dog"]))
        for tenant in ("a", "b")
    )
    of_mine = captures(mine, 3)
    of_other = [replace(capture, id=one.id) for capture, one in zip(captures(other, 2), of_mine, strict=False)]
    for some in (of_mine, of_other):
        store.captures.add(some, True)
    assert ids(store, mine) == [capture.id for capture in reversed(of_mine)]
    assert ids(store, other) == [capture.id for capture in reversed(of_other)]
    for task, some in ((mine, of_mine), (other, of_other)):
        assert [store.captures.image(task.key, capture.id)[0] for capture in some] == [capture.image for capture in some]
        assert [info.size for info in store.captures.get(task.key, [some[0].id])] == [len(some[0].image)]
    with pytest.raises(CaptureNotFound):
        store.captures.get(other.key, [of_mine[2].id])
    example = replace(new_examples(["cat"])[0], image=None)
    store.captures.resolve(mine.key, 1, {of_mine[0].id: example}, [of_mine[1].id], head_of(["cat", "dog"]))
    assert ids(store, mine) == [of_mine[2].id]
    assert len(ids(store, other)) == 2
    assert store.examples.image(mine.key, example.id)[0] == of_mine[0].image


class TestAgainstAModel:
    @given(
        limit=st.integers(1, 6),
        days=st.integers(1, 3),
        steps=st.lists(
            st.one_of(
                st.tuples(st.just("add"), st.integers(1, 9), st.integers(0, 100)),
                st.tuples(st.just("limit"), st.integers(1, 6), st.just(0)),
                st.tuples(st.just("days"), st.integers(1, 4), st.just(0)),
                st.tuples(st.just("discard"), st.integers(0, 5), st.just(0)),
                st.tuples(st.just("trim"), st.just(0), st.just(0)),
            ),
            max_size=8,
        ),
    )
    @settings(max_examples=12, deadline=None)
    def test_the_oldest_leave_first_and_no_other_task_notices(
        self, tmp_path_factory: pytest.TempPathFactory, limit: int, days: int, steps: list[tuple[str, int, int]]
    ) -> None:
        with closing(open_empty(tmp_path_factory.mktemp("store"))) as store:
            task, other = create(store), create(store)
            store.captures.add(of_other := captures(other, 3), keep_images=True)
            store.tasks.change(task.key, capture={"limit": limit, "days": days})
            kept: list[tuple[str, float]] = []  # ids and ages in hours, the oldest capture first

            def trimmed() -> list[tuple[str, float]]:
                most = kept[max(0, len(kept) - limit) :]
                return [(id_, age) for id_, age in most if age < 24 * days]

            for what, number, hours in steps:
                if what == "add":
                    # Half an hour, so that the test's own time does not matter.
                    added = captures(task, number, age=timedelta(hours=hours + 0.5))
                    stored = store.captures.add(added, keep_images=True).stored
                    assert stored == {capture.id for capture in added[-limit:]}
                    kept += [(capture.id, hours + 0.5) for capture in added]
                    kept = trimmed()
                elif what in {"limit", "days"}:
                    store.tasks.change(task.key, capture={what: number})
                    limit, days = (number, days) if what == "limit" else (limit, number)
                elif what == "discard" and number < len(kept):
                    store.captures.resolve(task.key, 1, {}, [kept.pop(number)[0]], None)
                elif what == "trim":
                    before = len(kept)
                    kept = trimmed()
                    assert store.captures.trim() == (len(kept) < before)
                assert ids(store, task) == [id_ for id_, _ in reversed(kept)]
            assert ids(store, other) == [capture.id for capture in reversed(of_other)]

    @given(
        quota=st.integers(0, 8),
        limits=st.tuples(st.integers(1, 6), st.integers(1, 6)),
        steps=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5), st.booleans()), max_size=8),
    )
    @settings(max_examples=12, deadline=None)
    def test_a_tenant_has_no_more_than_its_quota_and_no_less_than_it_could(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        quota: int,
        limits: tuple[int, int],
        steps: list[tuple[int, int, bool]],
    ) -> None:
        with closing(open_empty(tmp_path_factory.mktemp("store"))) as store:
            tasks = [store.tasks.change(create(store).key, capture={"limit": limit}) for limit in limits]
            store.quotas.change(tasks[0].key.tenant, "", {"captures": quota})
            held = [0, 0]
            for at, number, discard in steps:
                added = captures(tasks[at], number)
                stored, _, over_quota = store.captures.add(added, keep_images=True)
                newest = min(number, limits[at])
                assert stored == {capture.id for capture in added[-limits[at] :][: newest - over_quota]}
                before = sum(held)
                held[at] = min(held[at] + newest - over_quota, limits[at])
                assert sum(held) <= quota
                assert not over_quota or sum(held) == quota, "one more would have been too many"
                assert held[at] < limits[at] or before < sum(held) or not over_quota, "newer ones take the place of older ones"
                if discard and held[at]:
                    store.captures.resolve(tasks[at].key, 1, {}, [ids(store, tasks[at])[0]], None)
                    held[at] -= 1
                assert [len(ids(store, task)) for task in tasks] == held
                _, used = store.quotas.stored(tasks[0].key.tenant)
                assert (used.captures, used.examples) == (sum(held), 4)
            for task in tasks:
                store.tasks.delete(task.key)
            assert store.quotas.stored(tasks[0].key.tenant)[1] == Usage()

    def test_bytes_of_images_that_were_not_kept_are_none(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with closing(open_empty(tmp_path_factory.mktemp("store"))) as store:
            task = create(store)
            store.quotas.change(task.key.tenant, "", {"bytes": 100})
            assert store.captures.add(captures(task, 2), keep_images=False).over_quota == 0
            assert store.captures.add(captures(task, 2), keep_images=True).over_quota == 2
            assert store.quotas.stored(task.key.tenant)[1] == Usage(tasks=1, examples=2, bytes=100, captures=2)


class TestStore:
    def test_a_capture_comes_back_as_it_was_stored(self, store: Store) -> None:
        task = create(store)
        (one,) = captures(task)
        one = replace(one, answered=Answered("cät", 0.5, None, None))
        store.captures.add([one], keep_images=True)
        (info,) = store.captures.get(task.key, [one.id])
        assert (info.answered, info.created_at, info.version) == (one.answered, one.created_at, 1)
        np.testing.assert_array_equal(info.embedding, one.embedding)
        np.testing.assert_array_equal(store.captures.scan(task.key, BACKBONE.sha256, DIM).embeddings, [one.embedding])
        assert store.captures.image(task.key, one.id)[0] == one.image

    def test_embeddings_of_other_backbones_are_counted(self, store: Store) -> None:
        task = create(store)
        of_this, of_other = captures(task, 2)
        store.captures.add([of_this, replace(of_other, backbone_sha256="cd" * 32)], keep_images=True)
        found = store.captures.scan(task.key, BACKBONE.sha256, DIM)
        assert (found.ids, found.others) == ((of_this.id,), 1)

    def test_other_tenants_find_nothing(self, store: Store) -> None:
        task = create(store)
        (one,) = captures(task)
        store.captures.add([one], keep_images=True)
        with pytest.raises(TaskNotFound):
            store.captures.scan(TaskKey("other", task.id), BACKBONE.sha256, DIM)
        with pytest.raises(TaskNotFound):
            store.captures.image(TaskKey("other", task.id), one.id)
        assert store.captures.add([replace(one, key=TaskKey("other", task.id))], keep_images=True) == (set(), False, 0)

    def test_captures_of_a_task_or_a_version_that_is_gone_are_left_out(self, store: Store) -> None:
        task, gone = create(store), create(store)
        of_task, of_gone = captures(task), captures(gone)
        store.tasks.delete(gone.key)
        never = replace(captures(task)[0], version=7)
        assert store.captures.add([*of_gone, *of_task, never], keep_images=True)[0] == {of_task[0].id}

    def test_resolving_changes_nothing_unless_all_can_be_done(self, store: Store) -> None:
        task = create(store)
        taken = captures(task, 3)
        store.captures.add(taken, keep_images=True)
        (example,) = new_examples(["cow"])
        head = head_of(["cat", "dog", "cow"])
        for parent, discarded, error in ((1, ["prediction_none"], CaptureNotFound), (2, [], VersionConflict)):
            with pytest.raises(error):
                store.captures.resolve(task.key, parent, {taken[0].id: example}, discarded, head)
            assert store.tasks.get(task.key) == task
            assert len(ids(store, task)) == 3
        changed = store.captures.resolve(task.key, 1, {taken[0].id: replace(example, image=None)}, [taken[1].id], head)
        assert (changed.version.number, ids(store, task)) == (2, [taken[2].id])
        assert store.examples.image(task.key, example.id)[0] == taken[0].image

    def test_a_replay_of_discarding_lives_as_long_as_any(self, store: Store) -> None:
        task = create(store)
        (one,) = captures(task)
        store.captures.add([one], keep_images=True)
        store.captures.resolve(task.key, 1, {}, [one.id], None, Asked("key", "fingerprint"))
        replay = store.replay(T, "key")
        assert replay is not None
        assert (replay.task, replay.version) == (task.id, 1)

    @pytest.mark.sqlite("PostgreSQL keeps dead rows until it vacuums")
    @pytest.mark.parametrize("age", [timedelta(), timedelta(days=31)])
    def test_no_file_holds_what_left_by_itself(self, store: Store, tmp_path: Path, age: timedelta) -> None:
        task = create(store)
        store.tasks.change(task.key, capture={"limit": 2})
        first = captures(task, 2, size=9000)
        store.captures.add(first, keep_images=True)
        assert found_in(tmp_path, [capture.image for capture in first]) == 2
        removed = store.captures.add(captures(task, 2, age=age), keep_images=True).removed
        assert removed
        assert store.erase()
        assert found_in(tmp_path, [capture.image for capture in first]) == 0


def test_what_another_process_took_before_a_forgetting_is_not_stored_after_it(tmp_path: Path) -> None:
    """A worker that hung sends its captures at any time, also to an owner that was replaced meanwhile."""
    with closing(open_empty(tmp_path)) as store:
        task, other = create(store), create(store)
    url, shared = database_url(tmp_path), tmp_path / "changes"

    def taken(of: Task) -> NewCapture:
        return replace(captures(of)[0], changes=worker.active.changes(of.key))

    with closing(Store.follow(url, Changes(shared))) as worker:
        with closing(Store.open(url, changes=Changes(shared))) as store:
            late, later, of_other = taken(task), taken(task), taken(other)
            store.captures.leave_out(task.key)
            assert store.captures.add([late, of_other], keep_images=True).stored == {of_other.id}
            after = taken(task)
            assert store.captures.add([after], keep_images=True).stored == {after.id}
        changes = Changes(shared)
        changes.count_all()
        with closing(Store.open(url, changes=changes)) as store:
            assert store.captures.add([later], keep_images=True).stored == set()
            assert store.captures.add([taken(task)], keep_images=True).stored


class TestWriter:
    @staticmethod
    @contextmanager
    def writing(store: Store, keep_images: bool = True) -> Iterator[tuple[CaptureWriter, Metrics]]:
        metrics = Metrics()
        writer = CaptureWriter(store, metrics, keep_images)
        try:
            yield writer, metrics
        finally:
            writer.close()

    def test_what_waits_is_stored_before_it_closes(self, store: Store, tmp_path: Path) -> None:
        task = create(store)
        taken = captures(task, 5)
        with self.writing(store, keep_images=False) as (writer, metrics):
            writer.offer(taken)
        assert set(ids(store, task)) == {capture.id for capture in taken}
        assert b"headstart_captures_total 5.0" in metrics.render()
        assert found_in(tmp_path, [capture.image for capture in taken]) == 0

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (StorageFailed("full", disk_full=True), "disk_full"),
            (StorageFailed("broken"), "storage_failed"),
            (ValueError("a fault of ours"), "storage_failed"),
        ],
    )
    def test_what_cannot_be_stored_is_dropped_and_counted_and_the_next_is_stored(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
    ) -> None:
        task = create(store)
        failed = threading.Event()

        def fail(*_: object) -> tuple[set[str], bool]:
            failed.set()
            raise error

        with self.writing(store) as (writer, metrics):
            with monkeypatch.context() as failing:
                failing.setattr(store.captures, "add", fail)
                writer.offer(captures(task, 3))
                assert failed.wait(10)
            writer.offer(captures(task, 2))
        assert len(ids(store, task)) == 2
        assert f'headstart_captures_dropped_total{{reason="{reason}"}} 3.0'.encode() in metrics.render()

    def test_a_full_queue_drops_and_counts(self, store: Store) -> None:
        task = create(store)
        image = _PNG + bytes(10 * 2**20)
        with self.writing(store, keep_images=False) as (writer, metrics), store.captures._database.write():
            writer.offer([replace(capture, image=image) for capture in captures(task, 20)])
            assert b'headstart_captures_dropped_total{reason="queue_full"} 14.0' in metrics.render()
        assert len(ids(store, task)) == 6

    def test_a_queue_that_one_tenant_fills_takes_what_another_has(self, store: Store) -> None:
        flood, modest = create(store), create(store, "modest")
        image = _PNG + bytes(10 * 2**20)
        with self.writing(store, keep_images=False) as (writer, _), store.captures._database.write():
            writer.offer([replace(capture, image=image) for capture in captures(flood, 20)])
            writer.offer([replace(capture, image=image) for capture in captures(modest, 2)])
        assert len(ids(store, flood)) == 6
        assert len(ids(store, modest)) == 2

    def test_what_waits_when_a_task_forgets_is_never_stored(self, store: Store) -> None:
        task, other = create(store), create(store)
        with self.writing(store) as (writer, _), store.captures._database.write():
            writer.offer([*captures(task, 2), *captures(other, 2)])
            store.captures.leave_out(task.key)
        store.tasks.forget_example(task.key, 1, store.examples.page(task.key, None, 1)[0][0].id, head_of(["dog"]))
        assert ids(store, task) == []
        assert len(ids(store, other)) == 2
