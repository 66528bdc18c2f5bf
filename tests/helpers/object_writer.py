"""Changes of a store with images outside, in a process that is killed between two of their steps.

A step is a transaction's commit, the emptying of the log, or the writing or erasing of objects.
"""

import os
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from server.errors import StoredQuotaExceeded
from server.store import object_store, sqlite_database
from server.store.postgres_database import PostgresDatabase
from server.store.records import NewExample, TaskKey
from server.store.store import Store
from tests.helpers.object_stores import place
from tests.helpers.stored import head_of, new_examples

TASK = TaskKey("default", "task_pets")
LABELS = ["cat", "dog", "cow"]


def open_outside(folder: Path, url: str) -> Store:
    return Store.open(url, images_url=f"file://{folder}/objects")


def create(store: Store, key: TaskKey, examples: list[NewExample]) -> None:
    """As the journey does: what it has put is given up if the task cannot be stored."""
    placed = place(store.images, key, examples)
    try:
        store.tasks.create(key, "pets", placed, head_of(LABELS))
    except BaseException:
        store.images.give_up({(key, each.id): each.image for each in placed})  # type: ignore[misc]
        raise


def _create(store: Store, *_: str) -> None:
    create(store, TaskKey("default", "task_more"), new_examples(LABELS))


def _fail(store: Store, *_: str) -> None:
    store.quotas.change("default", "", {"tasks": 1})
    with suppress(StoredQuotaExceeded):
        _create(store)


def _forget(store: Store, example: str, *_: str) -> None:
    store.tasks.forget_example(TASK, 1, example, head_of(["cow", "dog"]))


def _delete(store: Store, *_: str) -> None:
    store.tasks.delete(TASK)


def _resolve(store: Store, _: str, kept: str, discarded: str) -> None:
    (example,) = new_examples(["cat"])
    added = NewExample(example.id, "cat", None, 300, "image/png", "ab" * 32, example.embedding)
    store.captures.resolve(TASK, 1, {kept: added}, [discarded], head_of(LABELS))


def _trim(store: Store, *_: str) -> None:
    store.tasks.change(TASK, capture={"limit": 1})
    store.captures.trim()


ACTIONS: dict[str, Callable[..., None]] = {
    "create": _create,
    "fail": _fail,
    "forget": _forget,
    "delete": _delete,
    "resolve": _resolve,
    "trim": _trim,
}


def work(folder: Path, url: str, action: str, ids: tuple[str, str, str], last: int) -> None:
    """Does the action, erases what it removed, and makes a file `done`; but kills this process at the step `last`."""
    object_store._AT_ONCE = 1  # Between two steps, none is under way.
    with closing(open_outside(folder, url)) as store:
        _count_steps(last)
        ACTIONS[action](store, *ids)
        store.images.erase()
        store.erase()
        (folder / "done").touch()


def _count_steps(last: int) -> None:
    done = 0

    def step() -> None:
        nonlocal done
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

    def between(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def stepping(*args: Any) -> Any:
            step()
            result = real(*args)
            step()
            return result

        setattr(owner, name, stepping)

    for owner, name in (
        (sqlite_database, "commit"),
        (sqlite_database, "empty_log"),
        (PostgresDatabase, "_commit"),
        (object_store.ObjectStore, "_put"),
        (object_store.ObjectStore, "delete"),
    ):
        between(owner, name)
