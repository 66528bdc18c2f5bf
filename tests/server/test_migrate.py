"""A whole store is copied from SQLite to PostgreSQL and back: nothing is lost, whenever the command is killed."""

import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, text

from benchmarks.server_process import first_key
from server.commands.keys import keys_command
from server.commands.migrate import migrate_command
from server.store import copying, postgres_database
from server.store.contents import COPIED, Content, content_of
from server.store.opening import open_database
from server.store.store import Store, StoreError, sqlite_url
from server.store.tables import choices, erasures, metadata, objects
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.databases import database_url, statements_in
from tests.helpers.images import encode, noise
from tests.helpers.refreshes import moved
from tests.helpers.servers import ServerProcess
from tests.helpers.stored import create
from tests.helpers.uploads import as_json, base64_of

pytestmark = pytest.mark.postgresql

_IMAGES = [encode(noise(32, 32, seed=seed)) for seed in range(16)]
_ASKED = _IMAGES[12:]
_FORKS = multiprocessing.get_context("forkserver")
_OTHER = "other@1"


class Kept:
    """A data directory in which a server has learnt, and what it answered at its end."""

    def __init__(self, folder: Path, bundles: Path) -> None:
        self.folder = folder
        self.token = first_key(folder)
        self._flags = ("--bundles-dir", str(bundles))
        with self.serving(folder, "--bundle", SMALL) as api:
            self._tasks = _history(api)
            self.told = self.told_by(api)

    @contextmanager
    def serving(self, folder: Path, *flags: str) -> Iterator[httpx.Client]:
        with ServerProcess(folder, *self._flags, *flags, bundle=None) as process:
            headers = {"authorization": f"Bearer {self.token}"}
            with httpx.Client(base_url=process.url, headers=headers, timeout=60) as api:
                yield api
            assert process.stop() == 0, process.log()

    def told_by(self, api: httpx.Client) -> dict[str, Any]:
        """What a server answers, which one on a copy must answer as well."""
        paths = ["/v1/tasks", "/v1/events", "/v1/refreshes", "/v1/keys"]
        paths += [f"/v1/tasks/{task}{part}" for task in self._tasks for part in ("", "/versions", "/examples", "/captures")]
        told = {path: api.get(path).raise_for_status().json() for path in paths}
        for key in told["/v1/keys"]["keys"]:
            del key["last_used_at"]
        for task in self._tasks:
            answer = api.post(f"/v1/tasks/{task}/predict?remember=false", **_files("images", _ASKED)).raise_for_status()
            told[f"{task} recognises"] = answer.json()["predictions"]
            told[f"{task} has"] = [
                api.get(f"/v1/tasks/{task}/examples/{each['id']}/image").raise_for_status().content
                for each in told[f"/v1/tasks/{task}/examples"]["examples"]
            ]
        told["default"] = [each["id"] for each in api.get("/v1/backbones").json()["backbones"] if each["default"]]
        return told

    def copy(self, folder: Path) -> str:
        """A database with the same rows; its URL."""
        shutil.copytree(self.folder, folder)
        return sqlite_url(folder)


def _files(kind: str, images: list[bytes]) -> dict[str, Any]:
    return {"files": [(kind, (f"picture {number}.png", image)) for number, image in enumerate(images)]}


def _history(api: httpx.Client) -> list[str]:
    """Has a server do everything that leaves rows. Returns the ids of tasks that are there at the end."""

    def made(path: str, **request: Any) -> Any:
        return api.post(path, **request).raise_for_status().json()

    pets = made(
        "/v1/tasks",
        **_files("images", _IMAGES[:6]),
        data={"labels": ["cat", "dog", "bird \N{DUCK}"] * 2, "name": "Haustiere: Mäuse, 犬"},
        headers={"idempotency-key": "once"},
    )["id"]
    made(f"/v1/tasks/{pets}/examples", **_files("negatives", _IMAGES[6:8]))
    several = [{"labels": labels, "image": base64_of(_IMAGES[i])} for i, labels in enumerate([["a", "b"], ["b"], ["a"], []])]
    many = made("/v1/tasks", json={"examples": several, "label_mode": "multiple"})["id"]
    gone = made("/v1/tasks", **as_json([("cat", _IMAGES[0]), ("dog", _IMAGES[1])]))["id"]
    api.patch(f"/v1/tasks/{pets}", json={"capture": {"keep": "all"}}).raise_for_status()
    made(f"/v1/tasks/{pets}/predict?remember=true", **_files("images", _IMAGES[8:12]))
    prediction = made(f"/v1/tasks/{pets}/captures/resolve", json={"decisions": [_decision(api, pets)]})
    assert prediction["version"] == 3
    examples = api.get(f"/v1/tasks/{pets}/examples").json()["examples"]
    api.delete(f"/v1/tasks/{pets}/examples/{examples[0]['id']}?forget=true").raise_for_status()
    api.delete(f"/v1/tasks/{gone}").raise_for_status()
    assert moved(api, _OTHER, [pets])["state"] == "finished"
    made(f"/v1/tasks/{pets}/predict?remember=true", **_files("images", _IMAGES[8:10]))
    made("/v1/keys", json={"scope": "predict", "task": many})
    return [pets, many]


def _decision(api: httpx.Client, task: str) -> dict[str, Any]:
    return {"captures": [api.get(f"/v1/tasks/{task}/captures").json()["captures"][0]["id"]], "label": "dog"}


@pytest.fixture(autouse=True)
def _mask() -> Iterator[None]:
    """The command keeps what it makes from other users, and here it shares the process with other tests."""
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    os.umask(mask)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Kept:
    bundles = tmp_path_factory.mktemp("bundles")
    for name in ("small", "other"):
        small_bundle(shipped_bundle, bundles, name)
    kept = Kept(tmp_path_factory.mktemp("kept") / "data", bundles)
    with closing(sqlite3.connect(kept.folder / "headstart.db")) as database, database:  # No server leaves all of these.
        database.execute("INSERT INTO usage VALUES ('nobody any more', 0, 0, 0, 0)")
        database.execute("INSERT INTO quotas VALUES ('default', '', NULL, 1000000000000, 5, 5000, NULL, NULL, 1)")
        database.execute("UPDATE sqlite_sequence SET seq = seq + 7 WHERE name = 'audit'")
    return kept


def contents(url: str) -> dict[str, Content]:
    with closing(open_database(url)) as database, database.read() as connection:
        return {table.name: content_of(connection, table, lambda *_: None) for table in COPIED}


def migrate(source: str, target: str) -> int:
    return migrate_command(["--from", source, "--to", target])


def test_the_tables_of_a_copy() -> None:
    assert {table.name for table in COPIED} == metadata.tables.keys() - {"changes", "spent", "choices", "refresh_leases"}


def test_a_store_is_served_by_postgresql_and_then_by_sqlite_again(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, there, back = sqlite_url(kept.folder), database_url(tmp_path), sqlite_url(tmp_path / "back")
    before = contents(source)
    assert {name for name, content in before.items() if not content.rows} == {"objects", "erasures"}

    assert migrate(source, there) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 1 + len(COPIED)
    assert all(line.split()[1] == line.split()[2] and line.endswith("same") for line in table[1:])
    assert migrate(there, back) == 0
    assert before == contents(there) == contents(back) == contents(source)

    last = _last_number(kept.folder)
    for url, folder in ((there, tmp_path / "other"), (back, tmp_path / "back")):
        with kept.serving(folder, "--database-url", url) as api:
            assert kept.told_by(api) == kept.told
            again = api.post("/v1/keys", json={"scope": "predict"}).raise_for_status().json()
            assert api.delete(f"/v1/keys/{again['id']}").is_success
    numbers = contents(there)["audit"], contents(back)["audit"]
    assert numbers[0].rows == numbers[1].rows > before["audit"].rows
    assert _last_number(tmp_path / "back") > last
    with statements_in(tmp_path) as connection:
        assert connection.scalar(text("SELECT max(number) FROM audit")) > last
        assert connection.scalar(text("SELECT count(*) FROM audit WHERE transaction = 0")) == before["audit"].rows


def _last_number(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "headstart.db")) as database:
        number: int = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()[0]
        return number


@pytest.mark.parametrize("to_postgresql", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_copy_that_is_killed_at_any_statement_goes_on(kept: Kept, tmp_path: Path, to_postgresql: bool) -> None:
    there, back = database_url(tmp_path), sqlite_url(tmp_path / "back")
    if not to_postgresql:
        assert migrate(sqlite_url(kept.folder), there) == 0
    source, target = (sqlite_url(kept.folder), there) if to_postgresql else (there, back)
    chance = random.Random(3)
    for _ in range(5):
        assert _migrate_until(source, target, chance.randint(1, 50)) == -signal.SIGKILL
    assert _migrate_until(source, target, None) == 0
    assert contents(source) == contents(target)


def _migrate_until(source: str, target: str, statements: int | None) -> int | None:
    """The exit status of the command, in a process that kills itself before the statement of that number."""
    process = _FORKS.Process(target=_migrate_and_die, args=(source, target, statements))
    process.start()
    process.join()
    return process.exitcode


def _migrate_and_die(source: str, target: str, statements: int | None) -> None:
    copying._BATCH_ROWS = 2
    left = [statements]

    @event.listens_for(Engine, "before_cursor_execute")
    def count(*_: Any) -> None:
        if left[0] is not None:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    os._exit(migrate(source, target))


@pytest.fixture
def half_copied(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A source in SQLite, and its copy in PostgreSQL that nobody has compared yet."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    source, target = kept.copy(tmp_path / "copy"), database_url(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("server.commands.migrate.compare", stop)
        assert migrate(source, target) == 1
    return source, target


@pytest.mark.parametrize(
    ("changed", "table"),
    [
        ("UPDATE versions SET head = head || CAST('!' AS bytea) WHERE number = 1", "versions"),
        ("UPDATE tasks SET name = name || '!'", "tasks"),
        ("DELETE FROM file_names WHERE example = (SELECT min(example) FROM file_names)", "file_names"),
        ("UPDATE usage SET bytes = bytes + 1 WHERE tasks > 0", "usage"),
        ("INSERT INTO audit (number, time, action, result, count) VALUES (0, now(), 'key.create', 'done', 1)", "audit"),
    ],
)
def test_a_copy_that_was_changed_is_noticed_and_no_server_starts_with_it(
    half_copied: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: str, table: str
) -> None:
    source, target = half_copied
    with statements_in(tmp_path) as connection:
        connection.execute(text(changed))
    assert migrate(source, target) == 1
    said = capsys.readouterr()
    assert f"the copy differs from its source in {table}, and no server opens it" in said.err
    assert [line.split()[0] for line in said.out.splitlines() if line.endswith("DIFFERENT")] == [table]
    with pytest.raises(StoreError, match=r"it is an unfinished copy of .*; run the same headstart-server migrate again"):
        Store.open(target)


def test_a_source_that_was_changed_is_noticed(
    half_copied: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = half_copied
    with closing(sqlite3.connect(tmp_path / "copy" / "headstart.db")) as database, database:
        database.execute("UPDATE tasks SET name = name || '!'")
    assert migrate(source, target) == 1
    assert "the copy differs from its source in tasks," in capsys.readouterr().err


def test_of_another_source_than_before_nothing_is_copied(
    half_copied: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = half_copied
    shutil.copytree(tmp_path / "copy", tmp_path / "another")
    assert migrate(sqlite_url(tmp_path / "another"), target) == 1
    assert f"the target is an unfinished copy of {tmp_path / 'copy'}/headstart.db, not of" in capsys.readouterr().err
    assert migrate(source, target) == 0


def test_a_database_in_use_is_refused(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.store.postgres_database._LEAVING_SECONDS", 0.3)
    file, shared = kept.copy(tmp_path / "copy"), database_url(tmp_path)
    for used in (file, shared):
        with closing(Store.open(used)) as store:
            store.check()
            assert migrate(file, shared) == 1
            assert "in use by" in capsys.readouterr().err
    with closing(Store.open(shared)) as store:
        store.check()
        assert migrate(shared, sqlite_url(tmp_path / "back")) == 1
        assert "in use by" in capsys.readouterr().err
    assert migrate(file, file) == 1
    assert "in use by" in capsys.readouterr().err
    assert migrate(file, shared) == 0


def test_no_server_and_no_command_opens_either_meanwhile(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = kept.copy(tmp_path / "copy"), database_url(tmp_path)
    whole, refused = copying.compare, []

    def compare(*arguments: Any) -> Any:
        for url in (source, target):
            with pytest.raises(StoreError) as error:
                Store.open(url)
            refused.append(str(error.value))
        monkeypatch.setattr("server.store.sqlite._BUSY_MS", 50)
        command = ["create", "--tenant", "x", "--scope", "manage", "--database-url", source]
        assert copy_context().run(keys_command, command) == 1
        return whole(*arguments)

    monkeypatch.setattr("server.store.postgres_database._SETTINGS", {**postgres_database._SETTINGS, "lock_timeout": "50ms"})
    monkeypatch.setattr("server.commands.migrate.compare", compare)
    assert migrate(source, target) == 0
    assert "is in use by another server" in refused[0]
    assert refused[1].endswith("cannot be used: another process brings its schema up to date or copies it")


def test_a_target_that_holds_something_is_refused(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = kept.copy(tmp_path / "copy"), database_url(tmp_path)
    with closing(Store.open(target)) as store:
        create(store, "somebody")
    for _ in range(2):
        assert migrate(source, target) == 1
        assert "the target holds a store already: its table usage is not empty" in capsys.readouterr().err
    assert contents(target)["tasks"].rows == 1


def test_a_text_that_postgresql_cannot_hold_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No request stores such a text now; a release before labels were cleaned might have."""
    source, target = sqlite_url(tmp_path / "old"), database_url(tmp_path)
    with closing(Store.open(source)) as store:
        tasks = sorted(create(store).id for _ in range(3))
    with closing(sqlite3.connect(tmp_path / "old" / "headstart.db")) as database, database:
        database.execute("UPDATE tasks SET name = 'a' || char(0) WHERE id = ?", (tasks[1],))
    assert migrate(source, target) == 1
    assert f"cannot hold the row of tasks with tenant 'default', id '{tasks[1]}'" in capsys.readouterr().err
    with closing(sqlite3.connect(tmp_path / "old" / "headstart.db")) as database, database:
        database.execute("UPDATE tasks SET name = 'a' WHERE id = ?", (tasks[1],))
    assert migrate(source, target) == 0


@pytest.mark.parametrize("url", ["mysql://somewhere/x", "nothing", "sqlite://", "postgresql://127.0.0.1:1/none"])
def test_what_is_no_database_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str) -> None:
    Store.open(sqlite_url(tmp_path)).close()
    for source, target in ((url, sqlite_url(tmp_path / "new")), (sqlite_url(tmp_path), url)):
        assert migrate(source, target) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_source_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(sqlite_url(tmp_path / "none"), database_url(tmp_path)) == 1
    assert "there is no database" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_where_images_lie_in_an_object_store_is_copied(tmp_path: Path) -> None:
    source, target = sqlite_url(tmp_path / "first"), database_url(tmp_path)
    Store.open(source).close()
    with closing(open_database(source)) as database, database.write() as connection:
        connection.execute(objects.insert().values(tenant="default", task="task_1", id="example_1", path="a/b", key=b"k" * 32))
        time_ = datetime(2026, 11, 29, 12, tzinfo=UTC)
        connection.execute(erasures.insert().values(tenant="default", path="c", due_at=time_, certain=True))
        connection.execute(choices.insert().values(name="object-store", value="headstart-0123"))
    assert migrate(source, target) == 0
    assert contents(source) == contents(target)
    with statements_in(tmp_path) as connection:
        assert connection.execute(choices.select()).all() == [("object-store", "headstart-0123")]
        assert connection.execute(objects.select()).all() == [("default", "task_1", "example_1", "a/b", b"k" * 32)]
