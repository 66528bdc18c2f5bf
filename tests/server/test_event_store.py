"""Events in the store: each change has its own, in order, and nobody misses one without being told."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import InvalidRequest
from server.metrics import Metrics
from server.store import events as event_store
from server.store.capture_writer import CaptureWriter
from server.store.event_records import Event, EventBounds
from server.store.records import Accuracy, Task, TaskKey, VersionConflict
from server.store.refresh_records import RefreshNote, RefreshStopped
from server.store.store import Store
from tests.helpers.databases import database_url
from tests.helpers.stored import BACKBONE, add, create, head_of, new_examples, open_empty
from tests.server.test_capture_store import captures

pytestmark = pytest.mark.each_database

T = "default"


class Clock:
    """The time that events are told; it stands still, and can be set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 21, tzinfo=UTC)

    def now(self, _zone: Any = None) -> datetime:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(event_store, "datetime", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_empty(tmp_path)) as store:
        yield store


def told(store: Store, after: str | None = None) -> list[Event]:
    """All events that follow one."""
    return list(store.events.page(T, after, 10_000).events)


def types(store: Store, after: str | None = None) -> list[str]:
    return [event.type for event in told(store, after)]


def now_at(store: Store) -> str:
    page = store.events.page(T, "latest", 5)
    assert (page.events, page.missed) == ((), False)
    return page.following


def change(store: Store, task: Task, share: float | None, label: str = "cat") -> Task:
    """The task with a further example, and a version of that accuracy."""
    head = head_of(["cat", "dog", label])
    accuracy = None if share is None else Accuracy(share, 0.0, 1.0)
    return store.tasks.add_version(task.key, task.version.number, "added", new_examples([label]), [], head, None, accuracy)


def test_every_change_is_told_with_what_it_made(store: Store) -> None:
    task = create(store)
    task = change(store, task, 0.75)
    embedded = dict.fromkeys(store.examples.support(task.key, 2).ids, new_examples(["cat"])[0].embedding)
    store.tasks.add_refreshed(task.key, 2, embedded, head_of(["cat", "dog"]), accuracy=Accuracy(0.72, 0, 1))
    store.tasks.change(task.key, version=1)
    store.tasks.change(task.key, name="other", version=1)  # It is the active one already.
    store.tasks.forget_example(task.key, 1, store.examples.page(task.key, None, 9)[0][1].id, head_of(["cat"]))
    store.tasks.delete(task.key)
    facts = [(e.type, e.version, e.version_before, e.change, e.accuracy) for e in told(store)]
    assert facts == [
        ("version_created", 1, None, "created", None),
        ("version_created", 2, 1, "added", 0.75),
        ("version_created", 3, 2, "refreshed", 0.72),
        ("version_activated", 1, 3, None, None),
        ("version_created", 4, 1, "removed", None),
        ("task_deleted", None, None, None, None),
    ]
    assert {event.task for event in told(store)} == {task.id}


def test_what_did_not_happen_is_not_told(store: Store) -> None:
    task = create(store)
    start = now_at(store)
    with pytest.raises(VersionConflict):
        add(store, task, "cow", parent=7)
    embedded = dict.fromkeys(store.examples.support(task.key, 1).ids, new_examples(["cat"])[0].embedding)
    note = RefreshNote("refresh_none", "lease_none", "moved")
    with pytest.raises(RefreshStopped):  # which is found out after the version was written
        store.tasks.add_refreshed(task.key, 1, embedded, head_of(["cat", "dog"]), note)
    assert told(store, start) == []


@pytest.mark.parametrize(
    ("before", "after", "falls"),
    [(0.9, 0.85, False), (0.9, 0.84, True), (0.5, 0.9, False), (None, 0.1, False), (0.9, None, False), (1.0, 0.95, False)],
)
def test_a_fall_of_quality_is_told_of_additions_and_rollbacks(
    store: Store, before: float | None, after: float | None, falls: bool
) -> None:
    task = change(store, create(store), before)
    start = now_at(store)
    task = change(store, task, after)
    expected = ["version_created", "quality_fell"] if falls else ["version_created"]
    assert types(store, start) == expected
    up = now_at(store)
    store.tasks.change(task.key, version=2)
    forward = now_at(store)
    assert types(store, up)[0] == "version_activated"
    store.tasks.change(task.key, version=3)
    assert types(store, forward) == ["version_activated", *expected[1:]]
    if falls:
        fell = told(store, forward)[1]
        assert (fell.version, fell.version_before, fell.accuracy, fell.accuracy_before) == (3, 2, after, before)


def test_how_far_quality_may_fall_is_a_setting(tmp_path: Path) -> None:
    with closing(Store.open(database_url(tmp_path), EventBounds(quality_drop=0.2))) as store:
        task = change(store, change(store, create(store), 0.9), 0.75)
        change(store, task, 0.5)
        assert types(store).count("quality_fell") == 1


def test_waiting_captures_are_told_once_and_again_after_there_were_fewer(store: Store) -> None:
    task = create(store)
    store.tasks.change(task.key, capture={"limit": 4, "notify": 3})
    start = now_at(store)

    def take(count: int) -> list[int | None]:
        here = now_at(store)
        store.captures.add(captures(task, count), keep_images=True)
        return [event.captures for event in told(store, here)]

    def discard(count: int) -> None:
        ids = store.captures.scan(task.key, BACKBONE.sha256, 4).ids[:count]
        store.captures.resolve(task.key, 1, {}, ids, None)

    assert [take(2), take(1), take(1), take(3)] == [[], [3], [], []]
    discard(1)
    assert take(1) == []  # There were never fewer than 3.
    discard(2)
    assert take(2) == [4]
    assert types(store, start) == ["captures_waiting"] * 2
    store.tasks.change(task.key, capture={"notify": None})
    discard(4)
    assert take(4) == []


def test_a_number_beyond_the_limit_is_never_reached(store: Store) -> None:
    task = create(store)
    store.tasks.change(task.key, capture={"limit": 2, "notify": 3})
    start = now_at(store)
    for count in (1, 2, 5):
        store.captures.add(captures(task, count), keep_images=True)
    assert told(store, start) == []


def test_a_number_that_is_reached_already_is_told_when_it_is_set(store: Store) -> None:
    task = create(store)
    store.captures.add(captures(task, 3), keep_images=True)
    start = now_at(store)
    for notify, count in ((4, 0), (3, 1), (3, 1), (2, 2), (None, 2)):
        store.tasks.change(task.key, capture={"notify": notify})
        assert types(store, start) == ["captures_waiting"] * count


class TestPaging:
    @given(
        steps=st.lists(st.tuples(st.sampled_from(["create", "add", "delete", "read", "trim"]), st.integers(1, 4)), max_size=25)
    )
    @settings(max_examples=25, deadline=None)
    def test_every_event_comes_once_and_in_order(
        self, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
    ) -> None:
        with closing(open_empty(tmp_path_factory.mktemp("events"))) as store:
            tasks: list[Task] = []
            happened: list[tuple[str, str]] = []
            seen: list[Event] = []
            after: str | None = None

            def read(limit: int) -> int:
                nonlocal after
                page = store.events.page(T, after, limit)
                assert not page.missed
                assert len(page.events) <= limit
                after = page.following
                seen.extend(page.events)
                return len(page.events)

            for what, number in [*steps, ("read", 3)]:
                if what == "create":
                    create(store, "other")
                    tasks.append(create(store))
                    happened.append(("version_created", tasks[-1].id))
                elif what == "add" and tasks:
                    task = tasks[number % len(tasks)]
                    tasks[number % len(tasks)] = add(store, task, "cow")
                    happened.append(("version_created", task.id))
                elif what == "delete" and tasks:
                    task = tasks.pop(number % len(tasks))
                    store.tasks.delete(task.key)
                    happened.append(("task_deleted", task.id))
                elif what == "trim":
                    store.events.trim()
                elif what == "read":
                    read(number)
            while read(3):
                pass
            assert [(event.type, event.task) for event in seen] == happened
            assert len({event.id for event in seen}) == len(seen)
            assert [event.created_at for event in seen] == sorted(event.created_at for event in seen)

    def test_before_anything_happened_there_is_a_place_to_go_on_from(self, store: Store) -> None:
        page = store.events.page(T, None, 10)
        assert (list(page.events), page.missed) == ([], False)
        assert page.following == now_at(store)
        create(store)
        assert types(store, page.following) == ["version_created"]
        assert not store.events.page(T, page.following, 10).missed

    @pytest.mark.parametrize("after", ["", "x", "event_1", "event_-1-00000000", "event_9999999999999999999-00000000", "LATEST"])
    def test_what_is_no_id_is_refused(self, store: Store, after: str) -> None:
        create(store)
        with pytest.raises(InvalidRequest, match="after"):
            store.events.page(T, after, 10)

    def test_other_tenants_have_events_of_their_own(self, store: Store) -> None:
        create(store, "other")
        assert told(store) == []
        create(store)
        assert [event.id.startswith("event_1-") for event in told(store)] == [True]


class TestAge:
    def test_old_events_leave_and_who_missed_one_is_told(self, store: Store, clock: Clock) -> None:
        beginning = now_at(store)
        tasks = []
        for day in range(5):
            tasks.append(create(store).id)
            clock.time += timedelta(days=10)
            assert len(told(store)) == day + 1
        first, second, third, *_ = [event.id for event in told(store)]
        store.events.trim()
        left = [event.task for event in told(store)]
        assert left == tasks[3:]  # of 20 and 10 days ago; what is 30 days old leaves
        for after, missed in ((beginning, True), (first, True), (second, True), (third, False), (None, False)):
            page = store.events.page(T, after, 10)
            assert ([event.task for event in page.events], page.missed) == (left, missed)
        assert not store.events.page(T, page.following, 10).missed

    def test_the_newest_stays_so_that_no_number_is_given_twice(self, store: Store, clock: Clock) -> None:
        create(store)
        last = create(store).id
        clock.time += timedelta(days=400)
        after = now_at(store)
        store.events.trim()
        assert [event.task for event in told(store)] == [last]
        following = create(store).id
        store.events.trim()
        assert [event.task for event in told(store)] == [following]
        assert told(store)[0].id.startswith("event_3-")
        assert not store.events.page(T, after, 10).missed  # The event before has left, but it was read.

    def test_a_clock_that_was_wrong_makes_no_gap(self, store: Store, clock: Clock) -> None:
        tasks = []
        for days in (0, -1000, 0, 500, 0):
            clock.time += timedelta(days=days)
            tasks.append(create(store).id)
            clock.time -= timedelta(days=days)
        clock.time += timedelta(days=31)
        store.events.trim()
        assert [event.task for event in told(store)] == tasks[3:]

    def test_the_background_removes_them(self, store: Store, clock: Clock) -> None:
        create(store)
        clock.time += timedelta(days=31)
        create(store)
        CaptureWriter(store, Metrics(), keep_images=True).close()
        assert len(told(store)) == 1

    def test_the_age_is_a_setting(self, tmp_path: Path, clock: Clock) -> None:
        with closing(Store.open(database_url(tmp_path), EventBounds(days=2))) as store:
            for _ in range(4):
                create(store)
                clock.time += timedelta(days=1)
            store.events.trim()
            assert len(told(store)) == 1

    def test_too_many_leave_too(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_store, "_MOST", 3)
        tasks = [create(store).id for _ in range(5)]
        other = create(store, "other")
        store.events.trim()
        assert [event.task for event in told(store)] == tasks[2:]
        assert [event.task for event in store.events.page("other", None, 9).events] == [other.id]


def test_a_database_that_was_put_back_is_noticed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    for _ in range(3):
        create(store)
    seen = [event.id for event in told(store)]
    with closing(open_empty(tmp_path_factory.mktemp("earlier"))) as earlier:
        create(earlier)
        for after in seen:  # of the same number as another event, or of a number that is not given yet
            page = earlier.events.page(T, after, 10)
            assert page.missed
            assert len(page.events) == 1
        for _ in range(3):
            create(earlier)
        assert all(earlier.events.page(T, after, 10).missed for after in seen)


def test_events_outlive_a_restart(tmp_path: Path) -> None:
    with closing(open_empty(tmp_path)) as store:
        task = create(store)
        after = now_at(store)
        before = told(store)
    with closing(Store.open(database_url(tmp_path))) as store:
        assert told(store) == before
        store.tasks.delete(TaskKey(T, task.id))
        assert types(store, after) == ["task_deleted"]
