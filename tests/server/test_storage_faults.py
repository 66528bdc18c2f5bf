"""What the store promises where its files go, its disk is full, or it is told to share them."""

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from sqlalchemy import Engine, event

from server.cache.keys import LOOK_SECONDS
from server.errors import StorageFailed
from server.ids import new_id
from server.store.capture_records import Answered, NewCapture
from server.store.records import TaskKey
from server.store.sqlite_database import SqliteDatabase
from server.store.store import Store, StoreInUse, sqlite_url
from tests.helpers.databases import kind, lose_database
from tests.helpers.leftovers import found_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.stored import BACKBONE, DIM, create, head_of
from tests.helpers.uploads import create as create_over_http
from tests.helpers.uploads import predict

FILES_ALONE = pytest.mark.sqlite("its own files")
FULL_DISK = pytest.mark.sqlite("the disk of its files is full")

T = "default"
MEGABYTE = 2**20


def ids(store: Store) -> set[str]:
    return {task.id for task in store.tasks.page(T, None, 10_000)[0]}


@FILES_ALONE
@pytest.mark.parametrize("name", ["headstart.db", "headstart.db-wal", "headstart.db-shm"])
@pytest.mark.parametrize("put_back", [False, True])
def test_a_file_that_goes_or_is_replaced_stops_every_write(tmp_path: Path, name: str, put_back: bool) -> None:
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        create(store)
        gone = tmp_path / name
        content = gone.read_bytes()
        gone.unlink()
        if put_back:
            gone.write_bytes(content)
        with pytest.raises(StorageFailed, match="removed or replaced") as failure:
            create(store)
        assert failure.value.retry_after is None
        for other in (store.check, lambda: ids(store)):
            with pytest.raises(StorageFailed, match="removed or replaced"):
                other()


@FILES_ALONE
def test_a_file_that_goes_while_a_change_is_written_leaves_it_unknown(tmp_path: Path) -> None:
    def go(_connection: object) -> None:
        (tmp_path / "headstart.db").unlink(missing_ok=True)

    with closing(Store.open(sqlite_url(tmp_path))) as store:
        event.listen(Engine, "commit", go)
        try:
            with pytest.raises(StorageFailed, match=r"may have been stored: retry with the same key"):
                create(store)
        finally:
            event.remove(Engine, "commit", go)


@FILES_ALONE
def test_links_and_a_lost_lock_file_lead_to_no_second_owner(tmp_path: Path) -> None:
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    for folder in (second, third):
        folder.mkdir()
    with closing(Store.open(sqlite_url(first))) as store:
        (second / "headstart.db").symlink_to(first / "headstart.db")
        os.link(first / "headstart.db", third / "headstart.db")
        for folder in (first, second, third):
            (folder / "headstart.db.lock").unlink(missing_ok=True)
            with pytest.raises(StoreInUse, match="in use by another server"):
                Store.open(sqlite_url(folder))
        kept = create(store)
    with closing(Store.open(sqlite_url(second))) as store:
        assert ids(store) == {kept.id}


@FILES_ALONE
@pytest.mark.parametrize("before", [None, 0o644])
def test_files_are_their_owners_alone(tmp_path: Path, before: int | None) -> None:
    if before:
        Store.open(sqlite_url(tmp_path)).close()
        for path in tmp_path.iterdir():
            path.chmod(before)
        (tmp_path / "headstart.db.lock").unlink()
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        create(store)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.suffix != ".reserve"}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4


@FILES_ALONE
def test_a_disk_that_is_written_to_well_is_not_written_to_for_every_probe(tmp_path: Path) -> None:
    log = tmp_path / "headstart.db-wal"
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        create(store)
        before = log.stat().st_size
        store.check()
        assert log.stat().st_size == before
        assert isinstance(store._database, SqliteDatabase)
        store._database._proven = None
        store.check()
        assert log.stat().st_size > before


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "headstart-test", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk, which takes root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leaves not a byte free."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (MEGABYTE, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


@FULL_DISK
def test_on_a_full_disk_removing_works_and_makes_room_for_removing(disk: Path) -> None:
    data = disk / "data"
    with closing(Store.open(sqlite_url(data))) as store:
        tasks = [create(store, labels=["cat", "dog"] * 10, image_bytes=size) for size in (20_000, 200_000, 20_000)]
        image, _ = store.examples.image(tasks[0].key, store.examples.support(tasks[0].key, 1).ids[0])
        filler = fill(disk)
        with pytest.raises(StorageFailed, match="disk") as failure:
            create(store)
        assert failure.value.disk_full
        assert failure.value.retry_after is None
        with pytest.raises(StorageFailed, match=r"disk is full: 0\.0 MB"):
            store.check()
        forgotten = store.examples.support(tasks[0].key, 1)
        store.tasks.forget_example(tasks[0].key, 1, forgotten.ids[0], head_of(forgotten.labels[1:]))
        assert store.erase()
        # Four megabytes: more than may go through the log at once.
        for task in tasks[1:]:
            store.tasks.delete(task.key)
            assert store.erase()
        assert found_in(data, [image]) == 0
        assert ids(store) == {tasks[0].id}
        filler.unlink()
        store.check()
        assert len(ids(store) | {create(store).id}) == 2


@FULL_DISK
def test_a_store_that_fills_its_disk_by_itself_can_still_remove(disk: Path) -> None:
    with closing(Store.open(sqlite_url(disk / "data"))) as store:
        with suppress(StorageFailed):
            while True:
                create(store, image_bytes=100_000)
        for task in ids(store):
            store.tasks.delete(TaskKey(T, task))
            assert store.erase()
        assert not ids(store)


@FULL_DISK
def test_a_server_starts_on_a_full_disk_and_serves_what_it_has(
    disk: Path, small_flags: tuple[str, ...], support: Labelled, queries: Labelled
) -> None:
    data = disk / "data"
    with ServerProcess(data, *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        kept, going = create_over_http(api, support)["id"], create_over_http(api, support)["id"]
        process.stop()
    for log in disk.glob("*.log"):
        log.unlink()
    fill(disk)
    with ServerProcess(data, *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        assert api.get(f"/v1/tasks/{kept}").status_code == 200
        assert predict(api, kept, [queries[0][1]])
        ready = api.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["status"] == "degraded"
        assert "disk is full" in ready.json()["checks"]["store"]
        refused = api.patch(f"/v1/tasks/{kept}", json={"name": "other"})
        assert (refused.status_code, refused.json()["code"]) == (503, "storage_failed")
        assert "disk" in refused.json()["detail"]
        assert "Retry-After" not in refused.headers
        assert api.delete(f"/v1/tasks/{going}").status_code == 204
        assert [task["id"] for task in api.get("/v1/tasks").json()["tasks"]] == [kept]


@FULL_DISK
def test_on_a_full_disk_keys_are_revoked(disk: Path, small_flags: tuple[str, ...], tmp_path: Path) -> None:
    """By the server, by the command beside it, and by the command alone; and their space for removing is there again."""
    data = disk / "data"

    def command(*arguments: str) -> str:
        ended = run_server("keys", *arguments, "--data-dir", str(data), folder=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def status(key: str) -> int:
        return httpx.get(f"{process.url}/v1/key", headers={"Authorization": f"Bearer {key}"}).status_code

    keys = [command("create", "--tenant", "default", "--scope", "manage") for _ in range(4)]
    ids = [key.split("_")[1] for key in keys]
    with ServerProcess(data, *small_flags) as process:
        filler = fill(disk)
        api = httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {keys[0]}"})
        with api:
            refused = api.post("/v1/keys", json={"scope": "predict"})
            assert (refused.status_code, refused.json()["code"]) == (503, "storage_failed")
            assert api.delete(f"/v1/keys/{ids[1]}").status_code == 204
            assert status(keys[1]) == 401
            command("revoke", ids[2])
            deadline = time.monotonic() + 10 * LOOK_SECONDS
            while status(keys[2]) != 401:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert api.delete(f"/v1/keys/{ids[2]}").status_code == 204
            filler.unlink()
            assert api.post("/v1/keys", json={"scope": "predict"}).status_code == 201
        assert (data / "headstart.db.reserve").stat().st_size == 5 * MEGABYTE, "an eighth of the disk"
    for log in disk.glob("*.log"):
        log.unlink()
    fill(disk)
    command("revoke", ids[3])
    states = {line.split()[0]: line.split()[-1] for line in command("list").splitlines()[1:]}
    assert [states[id_] for id_ in ids] == ["valid", "revoked", "revoked", "revoked"]


def test_a_server_whose_database_goes_says_so(tmp_path: Path, small_flags: tuple[str, ...], support: Labelled) -> None:
    with ServerProcess(tmp_path / "data", *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create_over_http(api, support)["id"]
        assert api.get("/readyz").json()["checks"]["store"] == "ok"
        lose_database(tmp_path / "data")
        refused = api.patch(f"/v1/tasks/{task}", json={"name": "other"})
        assert (refused.status_code, refused.json()["code"]) == (503, "storage_failed")
        assert ("Retry-After" in refused.headers) == (kind() == "postgresql"), "it may come back by itself"
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert ("removed or replaced" if kind() == "sqlite" else "failing") in ready.json()["checks"]["store"]


@FULL_DISK
def test_on_a_full_disk_captures_are_dropped_and_counted_and_predictions_go_on(
    disk: Path, small_flags: tuple[str, ...], support: Labelled, queries: Labelled
) -> None:
    with ServerProcess(disk / "data", *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create_over_http(api, support, capture='{"keep": "all"}')["id"]
        path = f"/v1/tasks/{task}"
        images = [("images", image) for _, image in queries[:2]]
        remembered = api.post(f"{path}/predict", params={"remember": "true"}, files=images).json()["predictions"]
        filler = fill(disk)
        assert len(predict(api, task, [image for _, image in queries[:3]])) == 3
        for _ in range(200):
            if 'headstart_captures_dropped_total{reason="disk_full"} 3.0' in api.get("/metrics").text:
                break
            time.sleep(0.05)
        else:
            raise AssertionError(api.get("/metrics").text)
        refused = api.post(f"{path}/predict", params={"remember": "true"}, files=images)
        assert (refused.status_code, refused.json()["code"]) == (503, "storage_failed")
        decision = {"captures": [remembered[0]["prediction"]]}
        resolve = f"{path}/captures/resolve"
        assert api.post(resolve, json={"decisions": [{**decision, "label": "cat"}]}).status_code == 503
        assert api.get(f"{path}/captures").json()["total"] == 2
        assert api.post(resolve, json={"decisions": [{**decision, "discard": True}]}).status_code == 201
        assert found_in(disk / "data", [queries[0][1]]) == 0
        filler.unlink()
        assert api.post(f"{path}/predict", params={"remember": "true"}, files=images).status_code == 200


@pytest.mark.slow
@FULL_DISK
def test_on_a_full_disk_many_captures_go_with_their_task(disk: Path) -> None:
    with closing(Store.open(sqlite_url(disk / "data"))) as store:
        task = create(store)
        image = b"\x89PNG\r\n\x1a\n" + os.urandom(200_000)
        embedding, now = np.zeros(DIM, np.float32), datetime.now(UTC)
        answered = Answered("cat", 0.5, True, 0.25)
        for _ in range(60):  # 12 megabytes: more than may go through the log at once
            one = NewCapture(new_id("prediction"), task.key, 1, BACKBONE.sha256, image, embedding, answered, now)
            store.captures.add([one], keep_images=True)
        fill(disk)
        store.tasks.delete(task.key)
        assert store.erase()
        assert found_in(disk / "data", [image]) == 0
