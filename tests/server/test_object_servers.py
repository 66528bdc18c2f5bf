"""A server whose images lie in a real S3 store (SeaweedFS): what it answers, what is in the bucket, and what if that is down."""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from benchmarks.server_process import free_port
from server.store.tables import objects
from tests.helpers.databases import statements_in
from tests.helpers.images import encode, noise
from tests.helpers.leftovers import found_in, keys_in
from tests.helpers.object_stores import S3Server
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.uploads import create, multipart, predict
from tests.server.test_captures import remember, resolve
from tests.server.test_metrics import scrape


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("objects") / "data"


@pytest.fixture(scope="module")
def server(data_dir: Path, small_flags: tuple[str, ...], s3: S3Server) -> Iterator[ServerProcess]:
    with ServerProcess(data_dir, "--images-url", s3.url, *small_flags, prepare=try_again_soon) as process:
        yield process
        assert process.stop() == 0, process.log()
        assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in process.log()


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def try_again_soon() -> None:
    """For `prepare`."""
    from server.store import capture_writer

    capture_writer._AGAIN_SECONDS = 0.2


def unique(count: int, seed: int) -> Labelled:
    return [("cat" if i % 2 else "dog", encode(noise(40, 40, seed=7_000 * seed + i))) for i in range(count)]


def rows(data_dir: Path) -> dict[str, bytes]:
    """The key of each object that the database knows, by its path."""
    with statements_in(data_dir) as connection:
        return {row.path: row.key for row in connection.execute(select(objects.c.path, objects.c.key))}


def ids(api: httpx.Client, task: str) -> list[str]:
    return [example["id"] for example in api.get(f"/v1/tasks/{task}/examples", params={"limit": 100}).json()["examples"]]


def members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist() if not name.startswith(".headstart")}


def test_what_a_task_brings_is_in_the_bucket_encrypted_and_comes_back(api: httpx.Client, s3: S3Server, data_dir: Path) -> None:
    sent = unique(25, seed=1)
    task = create(api, sent)["id"]
    assert s3.paths() == set(rows(data_dir)) == {f"default/{task}/{example}" for example in ids(api, task)}
    for example, (_, image) in zip(ids(api, task), sent, strict=True):
        answer = api.get(f"/v1/tasks/{task}/examples/{example}/image")
        assert (answer.content, answer.headers["content-type"]) == (image, "image/png")
    assert sorted(members(api.get(f"/v1/tasks/{task}/archive").content).values()) == sorted(image for _, image in sent)
    for folder in (data_dir, s3.folder):
        assert found_in(folder, [image for _, image in sent]) == 0
    relabelled = api.patch(f"/v1/tasks/{task}/examples/{ids(api, task)[0]}", json={"label": "cat"}).json()
    assert relabelled["version"] == 2
    assert api.get(f"/v1/tasks/{task}/examples/{ids(api, task)[0]}/image").content == sent[0][1]
    assert len(s3.paths()) == 25, "a relabelled image is no second one"
    assert api.delete(f"/v1/tasks/{task}").status_code == 204
    assert (s3.paths(), rows(data_dir)) == (set(), {})


def test_captures_are_in_the_bucket_until_they_leave(api: httpx.Client, s3: S3Server, data_dir: Path) -> None:
    task = create(api, unique(4, seed=2))["id"]
    sent = [image for _, image in unique(3, seed=3)]
    first, second, third = remember(api, task, sent)
    assert api.get(f"/v1/tasks/{task}/captures/{second}/image").content == sent[1]
    decided = resolve(api, task, {"captures": [first], "label": "cat"}, {"captures": [second], "discard": True})
    assert decided.status_code == 201
    assert f"default/{task}/{second}" not in s3.paths()
    assert len(s3.paths()) == 6
    assert s3.paths() == set(rows(data_dir))
    example = ids(api, task)[-1]
    assert api.get(f"/v1/tasks/{task}/examples/{example}/image").content == sent[0]
    assert api.delete(f"/v1/tasks/{task}/examples/{example}", params={"forget": True}).status_code == 200
    assert s3.paths() == {f"default/{task}/{id_}" for id_ in ids(api, task)}
    assert third not in str(s3.paths()), "forgetting takes the captures, too"
    api.delete(f"/v1/tasks/{task}").raise_for_status()
    assert s3.paths() == set()


def test_what_a_store_keeps_of_a_forgotten_image_nobody_can_read(api: httpx.Client, s3: S3Server, data_dir: Path) -> None:
    """A bucket keeps versions, and SeaweedFS keeps what was deleted until it compacts its files: both without a key."""
    s3.keep_versions()
    task = create(api, unique(4, seed=4))["id"]
    example = ids(api, task)[0]
    path = f"default/{task}/{example}"
    content, key = s3.content(path), rows(data_dir)[path]
    assert keys_in(data_dir, [key]) == 1
    assert api.delete(f"/v1/tasks/{task}/examples/{example}", params={"forget": True}).status_code == 200
    assert path not in s3.paths()
    assert found_in(s3.folder, [content]) == 1, "what this test is about"
    assert keys_in(data_dir, [key]) == 0
    api.delete(f"/v1/tasks/{task}").raise_for_status()


def test_a_retry_puts_nothing_and_a_deletion_leaves_nothing(api: httpx.Client, s3: S3Server) -> None:
    task = create(api, unique(4, seed=5))["id"]
    before = s3.paths()
    key = {"Idempotency-Key": "objects-1"}
    assert api.post(f"/v1/tasks/{task}/examples", **multipart(unique(2, seed=6)), headers=key).status_code == 201
    assert len(s3.paths()) == 6
    assert api.post(f"/v1/tasks/{task}/examples", **multipart(unique(2, seed=6)), headers=key).json()["version"] == 2
    assert len(s3.paths()) == 6, "a retry puts nothing"
    api.delete(f"/v1/tasks/{task}").raise_for_status()
    assert not s3.paths() & before


def test_while_the_store_is_down_predictions_go_on_and_forgetting_is_completed_later(
    api: httpx.Client, s3: S3Server, data_dir: Path
) -> None:
    sent = unique(4, seed=8)
    task, other = create(api, sent)["id"], create(api, unique(4, seed=9))["id"]
    example = ids(api, task)[0]
    assert api.get("/readyz").json()["checks"]["images"] == "ok"
    s3.stop()
    try:
        assert len(predict(api, task, [image for _, image in sent])) == 4
        for refused in (
            api.post("/v1/tasks", **multipart(unique(4, seed=10))),
            api.post(f"/v1/tasks/{task}/examples", **multipart(unique(1, seed=11))),
            api.get(f"/v1/tasks/{task}/examples/{example}/image"),
        ):
            assert (refused.status_code, refused.json()["code"]) == (503, "storage_failed")
            assert refused.headers["retry-after"] == "5"
        assert len(api.get("/v1/tasks").json()["tasks"]) == 2
        assert api.get(f"/v1/tasks/{task}").json()["version"] == 1
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["status"], ready.json()["checks"]["images"]) == (200, "degraded", "failing")
        for _ in range(2):
            pending = api.delete(f"/v1/tasks/{task}")
            assert (pending.status_code, pending.json()["code"]) == (503, "erasure_pending")
            assert "object store" in pending.json()["detail"]
        assert api.get(f"/v1/tasks/{task}").status_code == 404
        assert {path.split("/")[1] for path in rows(data_dir)} == {other}, "its keys are gone already"
        assert scrape(api)["headstart_unerased_objects", ()] == 4 + 5, "the task's, and those of the two refused requests"
    finally:
        s3.start()
    for _ in range(200):
        if s3.paths() == set(rows(data_dir)):
            break
    else:
        pytest.fail("the server did not go on by itself")
    assert scrape(api)["headstart_unerased_objects", ()] == 0
    assert api.delete(f"/v1/tasks/{task}").status_code == 404
    assert api.delete(f"/v1/tasks/{other}").status_code == 204
    assert s3.paths() == set()


@pytest.mark.parametrize(
    ("url", "variables", "told"),
    [
        ("s3://nowhere/path", {}, "object store of the images cannot be used"),
        ("s3://images/path", {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}, "object store of the images cannot be used"),
        ("s3://images/path", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "object store of the images cannot be used"),
        ("az://images/path", {}, "object store az://images/path cannot be used"),
        ("file:///proc/nothing", {}, "object store file:///proc/nothing cannot be used"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_in_a_line(
    s3: S3Server, tmp_path: Path, small_flags: tuple[str, ...], url: str, variables: dict[str, str], told: str
) -> None:
    flags = ("--data-dir", str(tmp_path / "data"), "--port", str(free_port()), "--images-url", url, *small_flags)
    ended = run_server(*flags, folder=tmp_path, **{**s3.environment, **variables})
    line = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode != 0
    assert told in line
    assert "Traceback" not in ended.stderr
    for secret in ("a-secret-of-tests", "not-the-secret", os.environ["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in ended.stderr + ended.stdout
