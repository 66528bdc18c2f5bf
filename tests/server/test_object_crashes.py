"""A process that is killed between any two steps of a change: no image is lost, left over, or still there though forgotten."""

import shutil
import signal
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import select, update

from server.store.store import Store
from server.store.tables import capture_images, captures, erasures, examples, objects
from tests.helpers.databases import copy_database, database_url
from tests.helpers.leftovers import found_in, keys_in
from tests.helpers.object_stores import paths_in
from tests.helpers.object_writer import ACTIONS, LABELS, TASK, create, open_outside, work
from tests.helpers.servers import _FORKS
from tests.helpers.stored import new_examples
from tests.server.test_capture_store import captures as new_captures

_MOST_STEPS = 40


class Prepared(NamedTuple):
    """A task of three examples and two captures.

    Attributes:
        ids: of an example and of both captures.
        images: by the ids of all of them.
        keys: that they are encrypted with.
    """

    folder: Path
    ids: tuple[str, str, str]
    images: dict[str, bytes]
    keys: dict[str, bytes]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    with closing(open_outside(folder, database_url(folder))) as store:
        given = new_examples(LABELS, image_bytes=300)
        create(store, TASK, given)
        task = store.tasks.get(TASK)
        taken = new_captures(task, 2)
        store.captures.add(taken, keep_images=True)
        with store._database.read() as connection:
            keys = dict(connection.execute(select(objects.c.id, objects.c.key)).all())
    images = {each.id: each.image for each in given} | {each.id: each.image for each in taken}
    return Prepared(folder, (given[0].id, taken[0].id, taken[1].id), images, keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("action", [pytest.param(each, marks=() if each == "forget" else pytest.mark.slow) for each in ACTIONS])
def test_a_process_that_is_killed_between_two_steps(prepared: Prepared, tmp_path: Path, action: str) -> None:
    steps = 0
    for last in range(_MOST_STEPS):
        folder = tmp_path / str(last)
        copy_database(prepared.folder, folder)
        process = _FORKS.Process(target=work, args=(folder, database_url(folder), action, prepared.ids, last))
        process.start()
        process.join()
        done = (folder / "done").exists()
        assert process.exitcode == (0 if done else -signal.SIGKILL)
        check(prepared, folder, action, done)
        if done:
            break
        steps += 1
        shutil.rmtree(folder)
    assert 6 <= steps < _MOST_STEPS, "the steps were counted"


def check(prepared: Prepared, folder: Path, action: str, done: bool) -> None:
    with closing(open_outside(folder, database_url(folder))) as store:
        assert done is False or acknowledged(store, prepared, action)
        with store._database.write("default") as connection:
            connection.execute(update(erasures).values(due_at=datetime(2020, 1, 1, tzinfo=UTC)))
        store.images.expire()
        store.images.erase()
        with store._database.read() as connection:
            rows = connection.execute(select(objects.c.id, objects.c.path)).all()
            assert not connection.execute(select(erasures)).first()
            assert not connection.execute(select(capture_images)).first()
            of_examples = set(connection.scalars(select(examples.c.id)))
            of_captures = set(connection.scalars(select(captures.c.id)))
        assert paths_in(folder / "objects") == {row.path for row in rows}, "no object is left over, and none is missing"
        there = of_examples | of_captures
        assert {row.id for row in rows} == there, "each image is of something"
        for id_ in there & prepared.images.keys():
            assert image(store, id_, id_ in of_examples) == prepared.images[id_]
        converted = {row.path.rpartition("/")[2] for row in rows}
        gone = [id_ for id_ in prepared.images if id_ not in converted]
        assert keys_in(folder, [prepared.keys[id_] for id_ in gone]) == 0, "the key of what was removed is in no file"
    assert found_in(folder, list(prepared.images.values())) == 0, "images are never outside in the clear"


def acknowledged(store: Store, prepared: Prepared, action: str) -> bool:
    """Whether the store has what the action did."""
    tasks = {task.id for task in store.tasks.page("default", None, 10)[0]}
    support = store.examples.support(TASK, store.tasks.get(TASK).version.number).ids if TASK.id in tasks else ()
    return {
        "create": "task_more" in tasks,
        "fail": "task_more" not in tasks,
        "forget": prepared.ids[0] not in support,
        "delete": TASK.id not in tasks,
        "resolve": len(support) == 4,
        "trim": TASK.id in tasks,
    }[action]


def image(store: Store, id_: str, is_example: bool) -> bytes:
    return store.examples.images(TASK, [id_])[0].image if is_example else store.captures.image(TASK, id_)[0]
