"""The system's clock is set back: what is listed newest first stays so, and nothing is changed before it was made."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from server import ids
from server.errors import InvalidRequest, VersionNotFound
from server.store import refreshes as refresh_store
from server.store import statements
from server.store import tasks as task_store
from server.store.store import Store
from tests.helpers.databases import database_url
from tests.helpers.stored import add, create, head_of

T = "default"


class Clock:
    """The time that the store and its ids are told; it runs, and can be set."""

    def __init__(self) -> None:
        self.behind = timedelta()

    def now(self, zone: Any = None) -> datetime:
        return datetime.now(zone) - self.behind

    def time_ns(self) -> int:
        return int((datetime.now(UTC) - self.behind).timestamp() * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    told = Clock()
    for module in (task_store, statements, refresh_store):
        monkeypatch.setattr(module, "datetime", told)
    monkeypatch.setattr(ids, "time", told)
    monkeypatch.setattr(ids, "_clock", ids._Clock())
    return told


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(database_url(tmp_path))) as store:
        yield store


def set_back(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes back an hour while the server is not running, so that its ids begin anew."""
    clock.behind += timedelta(hours=1)
    monkeypatch.setattr(ids, "_clock", ids._Clock())


def pages(read: Any, size: int) -> list[Any]:
    found: list[Any]
    found, cursor = read(None, size)
    while cursor is not None:
        more, cursor = read(cursor, size)
        found += more
    return found


def test_lists_are_in_the_order_of_creation(opened: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, refreshes = [], []
    for _ in range(4):
        tasks.append(create(opened).id)
        refreshes.append(opened.refreshes.create(T, "tiny@2", 0.0, [tasks[-1]]).id)
        set_back(clock, monkeypatch)
    assert tasks == sorted(tasks, reverse=True)  # so that their ids alone would give the wrong order
    for size in (1, 2, 10):
        assert [task.id for task in pages(lambda cursor, size: opened.tasks.page(T, cursor, size), size)] == tasks[::-1]
        found = pages(lambda cursor, size: opened.refreshes.page(T, cursor, size), size)
        assert [refresh.id for refresh in found] == refreshes[::-1]
    assert list(opened.active.ids(T)) == tasks[::-1]
    job = opened.refresh_work.job()
    assert job is not None
    assert job.id == refreshes[0]


def test_examples_are_listed_as_they_were_added(opened: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    task = create(opened)
    for label in ("cat", "dog", "cat"):
        set_back(clock, monkeypatch)
        task = add(opened, task, label)
    support = list(opened.examples.support(task.key, task.version.number).ids)
    assert support != sorted(support)
    for size in (1, 2, 10):
        found = pages(lambda cursor, size: opened.examples.page(task.key, cursor, size), size)
        assert [example.id for example in found] == support


def test_nothing_is_changed_before_it_was_made(opened: Store, clock: Clock) -> None:
    task = create(opened)
    refresh = opened.refreshes.create(T, "tiny@2", 0.0, [task.id])
    clock.behind = timedelta(days=400)
    example = opened.examples.support(task.key, 1).ids[0]
    changed = [
        add(opened, task, "cat"),
        opened.tasks.change(task.key, name="other"),
        opened.tasks.change(task.key, version=1),
        opened.tasks.forget_example(task.key, 1, example, head_of(["dog"]))[0],
    ]
    assert {each.created_at for each in changed} == {task.created_at}
    assert all(each.updated_at >= task.created_at for each in changed)
    assert opened.refreshes.change(T, refresh.id, "pause").updated_at >= refresh.created_at


@pytest.mark.parametrize("cursor", ["x", "dGFzazE", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk", "wrI"])
def test_a_cursor_that_holds_no_number_is_refused(opened: Store, cursor: str) -> None:
    for read in (opened.tasks.page, opened.refreshes.page):
        with pytest.raises(InvalidRequest, match="cursor"):
            read(T, cursor, 10)


def test_a_name_and_a_version_are_changed_in_one_transaction(opened: Store) -> None:
    task = add(opened, create(opened), "cat")
    commits = 0

    def count(_connection: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(Engine, "commit", count)
    try:
        changed = opened.tasks.change(task.key, name="other", version=1)
    finally:
        event.remove(Engine, "commit", count)
    assert (changed.name, changed.version.number, commits) == ("other", 1, 1)
    with pytest.raises(VersionNotFound):
        opened.tasks.change(task.key, name="a third", version=9)
    assert opened.tasks.get(task.key) == changed
