"""The store's promises about files, processes, threads and full disks. Those not marked `sqlite` hold in PostgreSQL too."""

import logging
import random
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Pool, create_engine, event, text

from server.errors import ExampleNotFound, StorageFailed, TaskNotFound
from server.store import postgres_database
from server.store import sqlite as module
from server.store.records import TaskKey, VersionConflict
from server.store.store import Store, StoreError, StoreInUse, sqlite_url
from server.store.tables import ErasableBlob, metadata
from tests.helpers.databases import database_url, nobody_writes, statements_in
from tests.helpers.leftovers import found_in
from tests.helpers.stored import add, create, head_of, open_empty

FILES_ALONE = pytest.mark.sqlite("its own files")
SETTINGS = pytest.mark.sqlite("its settings of a connection")
SAID = pytest.mark.sqlite("the statements that it is told")

ROOT = Path(__file__).parents[2]
T = "default"
FILES = {"headstart.db", "headstart.db.lock", "headstart.db.reserve"}


@contextmanager
def on_connect(hook: Callable[[sqlite3.Connection], object]) -> Iterator[None]:
    """Shows every connection that the store opens to `hook`."""

    def listener(connection: sqlite3.Connection, _record: Any) -> None:
        hook(connection)

    event.listen(Engine, "connect", listener)
    try:
        yield
    finally:
        event.remove(Engine, "connect", listener)


def schema(database: Path) -> dict[str, str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type != 'trigger' AND name != 'alembic_version'"
        )
        return dict(rows.fetchall())


def without_layout(statements: dict[str, str]) -> dict[str, str]:
    """What SQLite's own editing of a table's statement leaves different are blanks and quotation marks."""
    return {name: re.sub(r'[\s"]', "", sql) for name, sql in statements.items()}


def all_tasks(store: Store) -> set[str]:
    return {task.id for task in store.tasks.page(T, None, 10_000)[0]}


@pytest.mark.sqlite("its statements of tables")
def test_the_migrations_make_the_schema_that_the_statements_expect(tmp_path: Path) -> None:
    Store.open(sqlite_url(tmp_path)).close()
    engine = create_engine(f"sqlite:///{tmp_path / 'expected.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert without_layout(schema(tmp_path / "headstart.db")) == without_layout(schema(tmp_path / "expected.db"))


@pytest.mark.each_database
def test_alembic_finds_no_difference_between_the_migrations_and_the_tables(tmp_path: Path) -> None:
    open_empty(tmp_path).close()
    with statements_in(tmp_path) as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_every_primary_key_begins_with_the_tenant() -> None:
    of_tenants = [table for table in metadata.tables.values() if table.name not in {"audit", "changes", "choices", "spent"}]
    assert {next(iter(table.primary_key)).name for table in of_tenants} == {"tenant"}


@pytest.mark.each_database
def test_a_database_of_a_later_release_is_refused(tmp_path: Path) -> None:
    open_empty(tmp_path).close()
    with statements_in(tmp_path) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"headstart\S+ cannot be used: .*9999"):
        Store.open(database_url(tmp_path))


@FILES_ALONE
def test_a_file_that_is_no_database_is_refused_and_let_go(tmp_path: Path) -> None:
    database = tmp_path / "headstart.db"
    database.write_bytes(b"x" * 10_000)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(sqlite_url(tmp_path))
    database.unlink()
    Store.open(sqlite_url(tmp_path)).close()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/headstart", "postgresql://h:x/y", "no url"]
)
def test_what_is_no_database_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///"):
        Store.open(url)


@FILES_ALONE
def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        Store.open(sqlite_url(tmp_path / "file" / "data"))


@FILES_ALONE
def test_a_data_directory_with_an_odd_name(tmp_path: Path) -> None:
    folder = tmp_path / "späti ?#%20 &x=1"
    for _ in range(2):
        with closing(Store.open(sqlite_url(folder))) as store:
            create(store)
    assert {path.name for path in folder.iterdir()} == FILES


@SETTINGS
def test_every_connection_is_set_up_for_its_part(tmp_path: Path) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "query_only", "wal_autocheckpoint", "busy_timeout")
    seen: set[tuple[object, ...]] = set()

    def look(connection: sqlite3.Connection, _record: Any) -> None:
        seen.add(tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names))

    event.listen(Pool, "checkin", look)
    try:
        with closing(Store.open(sqlite_url(tmp_path))) as store:
            store.check()
    finally:
        event.remove(Pool, "checkin", look)
    writer, reader = sorted(seen, key=lambda found: bool(found[4]))  # by whether it may only read
    assert writer == ("wal", 2, 1, 1, 0, 1000, 5000)
    assert reader[4:] == (1, 0, 5000)


@SAID
def test_a_write_is_one_immediate_transaction_and_a_read_one_snapshot(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        on_connect(lambda connection: connection.set_trace_callback(said.append)),
        closing(Store.open(sqlite_url(tmp_path))) as store,
    ):
        said.clear()
        task = create(store)
        assert (said[0], said[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
        assert len([line for line in said if line.split()[0] in {"BEGIN", "COMMIT", "ROLLBACK"}]) == 2
        store.examples.support(task.key, 1)
        said.clear()
        store.examples.support(task.key, 1)
        assert (said[0], said[-1]) == ("BEGIN", "ROLLBACK")
        assert len(said) == 5  # the version, its examples, their files' names


@pytest.mark.each_database
def test_nothing_is_looked_for_beyond_the_statement_that_misses_a_task(tmp_path: Path) -> None:
    said: list[str] = []

    def listener(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    with closing(open_empty(tmp_path)) as store:
        known = create(store).id
        wanted = [known, *(f"task_{i}" for i in range(5000))]
        event.listen(Engine, "before_cursor_execute", listener)
        try:
            with pytest.raises(TaskNotFound, match="'task_0'"):
                store.refreshes.create(T, "name@1", 0.0, wanted)
        finally:
            event.remove(Engine, "before_cursor_execute", listener)
    assert len([line for line in said if line.startswith("SELECT tasks")]) == 1


@FILES_ALONE
def test_closing_leaves_one_file_of_data(tmp_path: Path) -> None:
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        create(store)
        store.check()
        assert (tmp_path / "headstart.db-wal").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == FILES


@FILES_ALONE
def test_pages_that_were_merged_keep_no_copies(tmp_path: Path) -> None:
    """Removals after which SQLite 3.40, with its log truncated and all it deletes zeroed, still has a piece of a plain value."""
    chance, dialect = random.Random(3), create_engine("sqlite://").dialect
    columns = "tenant text not null, task text not null, id text not null, about text, image blob, primary key (tenant, task, id)"
    database = tmp_path / "merged.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.execute(f"CREATE TABLE examples ({columns})")
        alive: dict[str, list[bytes]] = {}
        for step in range(150):
            if len(alive) < 5 or chance.random() < 0.5:
                task = f"task_{step:026d}"
                alive[task] = [chance.randbytes(chance.choice([100, 300, 600, 1000, 1500, 2500, 3500])) for _ in range(3)]
                values = [ErasableBlob().process_bind_param(image, dialect) for image in alive[task]]
                rows = [("default", task, f"example_{i:026d}", "x" * 110, value) for i, value in enumerate(values)]
                connection.executemany("INSERT INTO examples VALUES (?, ?, ?, ?, ?)", rows)
                continue
            task = chance.choice(list(alive))
            images = alive.pop(task)
            if chance.random() < 0.5 and len(images) > 2:
                alive[task] = images[1:]
                images = images[:1]
                connection.execute("DELETE FROM examples WHERE task = ? AND id LIKE '%00'", (task,))
            else:
                connection.execute("DELETE FROM examples WHERE task = ?", (task,))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert found_in(tmp_path, [image for image in images if len(image) > 200]) == 0


def test_nothing_that_was_removed_is_left_in_any_file(tmp_path: Path) -> None:
    chance = random.Random(0)
    with closing(open_empty(tmp_path)) as store:
        alive: list[str] = []
        for _ in range(100):
            if len(alive) < 5 or chance.random() < 0.5:
                labels = ["cat", "dog"] * chance.choice([1, 2, 8])
                alive.append(create(store, labels=labels, image_bytes=chance.choice([200, 300, 600, 1500, 9000])).id)
                continue
            task = store.tasks.get(TaskKey(T, chance.choice(alive)))
            support = store.examples.support(task.key, task.version.number)
            going = [support.ids[0]] if len(support.ids) > 2 and chance.random() < 0.5 else list(support.ids)
            images = [store.examples.image(task.key, example)[0] for example in going]
            if len(going) == 1:
                store.tasks.forget_example(task.key, task.version.number, going[0], head_of(support.labels[1:]))
            else:
                store.tasks.delete(task.key)
                alive.remove(task.id)
            assert store.erase()
            assert found_in(tmp_path, images) == 0
        kept = [
            store.examples.image(
                TaskKey(T, task), store.examples.support(TaskKey(T, task), store.active.get(TaskKey(T, task)).version).ids[-1]
            )[0]
            for task in alive
        ]
        assert found_in(tmp_path, kept) == len(kept)


@settings(deadline=None)
@given(st.none() | st.binary(max_size=10_000))
def test_an_erasable_blob_comes_back_as_it_was(value: bytes | None) -> None:
    dialect, blob = create_engine("sqlite://").dialect, ErasableBlob()
    bound = blob.process_bind_param(value, dialect)
    assert bound is None or len(bound) % 4092 == 0
    assert blob.process_result_value(bound, dialect) == value


@pytest.mark.each_database
def test_opening_a_database_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An older SQLite can corrupt a log that several connections write; here one does, whatever its release."""
    with caplog.at_level(logging.INFO, "server"):
        Store.open(database_url(tmp_path)).close()
    assert not caplog.text


def writer(data_dir: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.helpers.store_writer", database_url(data_dir)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.sqlite("one process alone may open it")
def test_a_second_process_is_refused_with_one_line(tmp_path: Path) -> None:
    with closing(Store.open(sqlite_url(tmp_path))):
        with writer(tmp_path) as second:
            _, complaint = second.communicate(timeout=60)
        assert second.returncode == 1
        assert complaint.startswith("StoreInUse: the database ")
        assert complaint.count("\n") == 1
        with pytest.raises(StoreInUse):
            Store.open(sqlite_url(tmp_path))


def test_a_killed_process_leaves_all_of_a_task_or_nothing(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    chance = random.Random(0)
    for _ in range(5):
        with writer(tmp_path) as process:
            assert process.stdout is not None
            acknowledged |= {process.stdout.readline().strip() for _ in range(3)}
            time.sleep(chance.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
        with closing(Store.open(database_url(tmp_path))) as store:
            found = all_tasks(store)
            assert acknowledged <= found
            assert len(found) <= len(acknowledged) + 5
            for task in found:
                assert [version.number for version in store.tasks.versions(TaskKey(T, task))] == [1]
                assert len(store.tasks.head(TaskKey(T, task), 1).labels) == 5
                assert (
                    len(
                        {
                            len(store.examples.image(TaskKey(T, task), example)[0])
                            for example in store.examples.support(TaskKey(T, task), 1).ids
                        }
                    )
                    == 1
                )
    with statements_in(tmp_path) as connection:
        count = "SELECT (SELECT count(*) FROM versions), (SELECT count(*) FROM examples)"
        counts = tuple(connection.execute(text(count)).one())
    assert counts == (len(found), 25 * len(found))


def fail_to_write(store: Store) -> None:
    """Creates ever more until that fails, and checks what is then left."""
    kept: set[str] = set()

    def fill() -> None:
        for _ in range(200):
            kept.add(create(store, image_bytes=20_000).id)

    with pytest.raises(StorageFailed) as failure:
        fill()
    assert kept
    assert all_tasks(store) == kept
    assert "/" not in failure.value.detail
    assert "headstart.db" not in failure.value.detail


@SETTINGS
def test_a_full_disk_fails_one_request_and_not_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        on_connect(lambda connection: connection.execute("PRAGMA max_page_count = 100").close()),
        closing(Store.open(sqlite_url(tmp_path))) as store,
    ):
        fail_to_write(store)
        assert "full" in caplog.text
        store.tasks.delete(TaskKey(T, max(all_tasks(store))))
        assert create(store, image_bytes=20_000).id in all_tasks(store)


@FILES_ALONE
def test_a_disk_that_refuses_fails_one_request_and_not_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
        try:
            fail_to_write(store)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "disk" in caplog.text
        assert create(store, image_bytes=20_000).id in all_tasks(store)


@pytest.mark.each_database
def test_a_database_locked_by_a_tool_is_a_storage_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_MS", 50)
    monkeypatch.setitem(postgres_database._SETTINGS, "lock_timeout", "50ms")
    with closing(open_empty(tmp_path)) as store:
        with nobody_writes(tmp_path):
            with pytest.raises(StorageFailed):
                create(store)
            assert store.tasks.page(T, None, 10) == ([], None)
        create(store)


@pytest.mark.each_database
def test_readers_see_whole_tasks_while_others_write(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    reads = 0
    stop = threading.Event()

    def read() -> None:
        nonlocal reads
        while not stop.is_set():
            try:
                for task in store.tasks.page(T, None, 10)[0]:
                    support = store.examples.support(task.key, task.version.number)
                    assert len(support.ids) == sum(entry.examples for entry in task.version.classes)
                    page, _ = store.examples.page(task.key, None, 100)
                    assert len(page) >= 2
                    store.examples.image(task.key, page[0].id)
                    reads += 1
            except (TaskNotFound, ExampleNotFound):
                pass
            except BaseException as error:
                failures.append(error)
                stop.set()

    with closing(open_empty(tmp_path)) as store:
        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        end = time.monotonic() + 1.5
        while time.monotonic() < end and not stop.is_set():
            task = create(store)
            bigger = add(store, task, "cat")
            first = store.examples.support(task.key, 1).ids[0]
            store.tasks.add_version(task.key, bigger.version.number, "removed", [], [first], head_of(["cat", "dog"]))
            store.tasks.delete(task.key)
        stop.set()
        for reader in readers:
            reader.join()
    assert not failures
    assert reads > 10


@pytest.mark.each_database
def test_threads_that_change_one_task_take_turns(tmp_path: Path) -> None:
    wins: list[int] = []
    with closing(open_empty(tmp_path)) as store:
        task = create(store)

        def change() -> None:
            while len(wins) < 30:
                with suppress(VersionConflict):
                    wins.append(add(store, store.tasks.get(task.key), "cat").version.number)

        threads = [threading.Thread(target=change) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wins
        assert sorted(wins) == list(range(2, len(wins) + 2))
        assert len(store.examples.support(task.key, max(wins)).ids) == 2 + len(wins)
