"""Databases of earlier schemas, brought up to date: all of it is still there, and can be forgotten."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from msgspec.structs import asdict
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite

from server.journeys.support_set import LabelledImage, fingerprint
from server.schemas.requests import TaskOptions
from server.store import schema
from server.store.quota_records import Usage
from server.store.records import TaskKey
from server.store.store import Store, sqlite_url
from server.store.tables import ErasableBlob
from tests.helpers.leftovers import found_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.stored import BACKBONE, add, head_of, new_examples
from tests.helpers.uploads import multipart

EARLIER = pytest.mark.sqlite("databases of that revision are all its own: PostgreSQL came after it")

T = "default"
_TIME = "2026-11-21 09:30:00.000000"
_LABELS = ["cat", "cat", "dog"]


def migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", "server.store:migrations")
    return config


def database_of(revision: str, folder: Path) -> sqlite3.Connection:
    """A database of an earlier schema, without rows."""
    engine = create_engine(sqlite_url(folder))
    with engine.begin() as connection:
        config = migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return sqlite3.connect(folder / "headstart.db")


def test_the_last_file_is_where_alembic_ends() -> None:
    """A database of its number is taken for up to date without Alembic."""
    assert ScriptDirectory.from_config(migrations()).get_heads() == [schema._newest()]


def insert(database: sqlite3.Connection, table: str, *rows: Sequence[Any]) -> None:
    database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


@EARLIER
@pytest.mark.parametrize("tasks", [1, 40])
def test_a_database_of_the_first_schema(tmp_path: Path, tasks: int) -> None:
    given = {f"task_{number:03}": new_examples(_LABELS, image_bytes=200 + 10 * number) for number in range(tasks)}
    heads = {task: head_of(_LABELS) for task in given}
    with closing(database_of("0001", tmp_path)) as database, database:
        for task, examples in given.items():
            insert(database, "tasks", (T, task, "pets", 1, _TIME, _TIME))
            ids = "[" + ", ".join(f'"{example.id}"' for example in examples) + "]"
            options = heads[task].options.model_dump_json()
            of_backbone = (BACKBONE.bundle, BACKBONE.sha256, _TIME)
            classes, head = '[["cat", 2], ["dog", 1]]', heads[task].to_bytes()
            insert(database, "versions", (T, task, 1, "created", *of_backbone, options, classes, ids, head))
            insert(
                database,
                "examples",
                *(
                    (
                        T,
                        task,
                        e.id,
                        e.label,
                        e.media_type,
                        e.size,
                        e.sha256,
                        BACKBONE.sha256,
                        _TIME,
                        e.embedding.tobytes(),
                        e.image,
                    )
                    for e in examples
                ),
            )
        insert(database, "replays", (T, "key", "f" * 64, 201, "/v1/tasks/task_000", _TIME, "{}"))

    with closing(Store.open(sqlite_url(tmp_path))) as store:
        sizes = [example.size for examples in given.values() for example in examples]
        assert store.quotas.stored(T)[1] == Usage(tasks, len(sizes), sum(sizes), captures=0)
        for task, examples in given.items():
            support = store.examples.support(TaskKey(T, task), 1)
            assert support.ids == tuple(example.id for example in examples)
            assert support.embeddings.tolist() == [example.embedding.tolist() for example in examples]
            assert store.tasks.head(TaskKey(T, task), 1).to_bytes() == heads[task].to_bytes()
            assert store.tasks.get(TaskKey(T, task)).version.accuracy is None
            assert [store.examples.image(TaskKey(T, task), e.id)[0] for e in examples] == [e.image for e in examples]
            assert [info.sha256 for info in store.examples.page(TaskKey(T, task), None, 10)[0]] == [e.sha256 for e in examples]
            assert (
                {info.file_name for info in store.examples.page(TaskKey(T, task), None, 10)[0]}
                == {None}
                == set(support.file_names)
            )
        assert add(store, store.tasks.get(TaskKey(T, "task_000")), "bird").version.number == 2
        gone = list(given)[::5]
        for task in gone:
            store.tasks.delete(TaskKey(T, task))
            assert store.erase()
            assert found_in(tmp_path, [example.image for example in given[task] if isinstance(example.image, bytes)]) == 0
    with closing(sqlite3.connect(tmp_path / "headstart.db")) as database:
        assert database.execute("SELECT key, task, fingerprint, body FROM replays").fetchall() == [("key", "task_000", "", "")]
        left = [database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("tasks", "examples", "embeddings")]
    assert left == [tasks - len(gone), 3 * (tasks - len(gone)), 3 * (tasks - len(gone))]


@EARLIER
def test_an_answer_kept_by_an_earlier_release_is_given_again_byte_for_byte(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    given = support[::5]
    purpose = json.dumps(["create", "pets", asdict(TaskOptions())])
    asked = fingerprint(purpose, [LabelledImage(label, image) for label, image in given])
    body = '{"id":"task_000", "as":"it was"}'
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    with closing(database_of("0007", data)) as database, database:
        insert(
            database,
            "replays",
            (T, "key", "task_000", asked, 201, "/v1/tasks/task_000", now, body),
            (T, "forgotten", "task_001", "", 201, "/v1/tasks/task_001", now, ""),
        )
    with ServerProcess(data, *small_flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        again = api.post("/v1/tasks", **multipart(given, name="pets"), headers={"Idempotency-Key": "key"})
        assert (again.status_code, again.text, again.headers["location"]) == (201, body, "/v1/tasks/task_000")
        assert again.headers["idempotent-replayed"] == "true"
        other = api.post("/v1/tasks", **multipart(given, name="other"), headers={"Idempotency-Key": "key"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        gone = api.post("/v1/tasks", **multipart(given, name="pets"), headers={"Idempotency-Key": "forgotten"})
        assert (gone.status_code, gone.json()["code"]) == (410, "answer_forgotten")
        assert api.get("/v1/tasks").json()["tasks"] == []


@EARLIER
def test_an_example_may_lack_a_label_after_revision_0008(tmp_path: Path) -> None:
    """The declaration alone changes: rows, keys between tables and the file's integrity stay."""
    given = new_examples(_LABELS, image_bytes=5000)
    head = head_of(_LABELS)
    with closing(database_of("0008", tmp_path)) as database, database:
        insert(database, "tasks", (T, "task_1", "pets", 1, _TIME, _TIME, 1, 1))
        ids, classes = json.dumps([example.id for example in given]), '[["cat", 2], ["dog", 1]]'
        padded = ErasableBlob().process_bind_param
        to_sqlite = sqlite.dialect()
        of_backbone = (BACKBONE.bundle, BACKBONE.sha256, _TIME)
        row = (T, "task_1", 1, "created", *of_backbone, head.options.model_dump_json(), classes, ids)
        insert(database, "versions", (*row, padded(head.to_bytes(), to_sqlite)))
        for e in given:
            assert isinstance(e.image, bytes)
            told = (T, "task_1", e.id, e.label, e.media_type, e.size, e.sha256, _TIME, padded(e.image, to_sqlite))
            insert(database, "examples", told)
            insert(database, "embeddings", (T, "task_1", e.id, BACKBONE.sha256, padded(e.embedding.tobytes(), to_sqlite)))

    key = TaskKey(T, "task_1")
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        task = store.tasks.get(key)
        assert (task.version.negatives, store.active.get(key).ways) == (0, 2)
        assert store.examples.support(key, 1).labels == tuple(_LABELS)
        negatives = new_examples([None, None], image_bytes=5000)
        changed = store.tasks.add_version(key, 1, "added", negatives, [], head)
        assert (changed.version.negatives, store.active.get(key).ways) == (2, 2)
        assert store.examples.support(key, 2).negatives.ids == tuple(example.id for example in negatives)
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        assert store.examples.support(key, 1).negatives.ids == ()
        store.tasks.delete(key)
        assert store.erase()
        assert found_in(tmp_path, [example.image for example in (*given, *negatives) if isinstance(example.image, bytes)]) == 0
    with closing(sqlite3.connect(tmp_path / "headstart.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM embeddings").fetchone() == (0,)
