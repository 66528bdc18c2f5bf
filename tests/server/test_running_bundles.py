"""Bundles that come and go while a server runs, over real HTTP."""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import delete

from benchmarks.bundles import copy_bundle
from headstart import BackboneInUse, BackboneNotFound, BackboneNotOpen, Client, InvalidBundle
from headstart.__main__ import main
from models.bundle import DEFAULT_BUNDLE, GOLDEN, MANIFEST, ONNX, golden_bytes, open_bundle, write_bundle
from models.heads.head import Float32
from models.images.preprocess import Pixels
from server.store.tables import choices
from tests.helpers.bundles import small_bundle, spoil
from tests.helpers.databases import kind, statements_in
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart, predict
from tests.helpers.uploads import queries as as_queries

QUICK = ("--engine", "onnx")  # starts without measuring whether int8 pays


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's server looks for bundles; empty when it starts."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[ServerProcess]:
    data_dir = tmp_path_factory.mktemp("server") / "data"
    with ServerProcess(data_dir, "--bundles-dir", str(folder), "--open-bundles", "20") as process:
        yield process
        assert process.stop() == 0, process.log()
        assert "Traceback" not in process.log()


def open_(api: httpx.Client, id_: str) -> httpx.Response:
    return api.post("/v1/backbones", json={"id": id_})


def make_default(api: httpx.Client, id_: str) -> dict[str, Any]:
    response = api.patch(f"/v1/backbones/{id_}", json={"default": True})
    assert response.status_code == 200, response.text
    backbone: dict[str, Any] = response.json()
    return backbone


def create_on(api: httpx.Client, id_: str, examples: Labelled, default: str) -> str:
    """A task on that bundle, opened if need be; `default` is the default again afterwards."""
    assert open_(api, id_).is_success
    make_default(api, id_)
    task = create(api, examples)
    make_default(api, default)
    assert task["backbone"] == id_
    task_id: str = task["id"]
    return task_id


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_from_its_folder_to_the_default_and_out_again(
    api: httpx.Client, folder: Path, shipped_bundle: Path, shipped: str, support: Labelled
) -> None:
    id_ = small_bundle(shipped_bundle, folder, "comes-and-goes")
    path = f"/v1/backbones/{id_}"
    listed = {backbone["id"]: backbone for backbone in api.get("/v1/backbones").json()["backbones"]}
    assert (listed[id_]["open"], listed[id_]["engines"], listed[id_]["active_tasks"]) == (False, [], 0)
    assert listed[shipped]["open"]
    assert code_of(api.patch(path, json={"default": True})) == (409, "backbone_not_open")

    opened = open_(api, id_)
    assert (opened.status_code, opened.headers["location"]) == (201, path)
    assert opened.json() == listed[id_] | {"open": True, "engines": ["onnx"]} == api.get(path).json()
    again = open_(api, id_)
    assert (again.status_code, again.headers["location"], again.json()) == (200, path, opened.json())

    assert make_default(api, id_)["default"]
    assert not api.get(f"/v1/backbones/{shipped}").json()["default"]
    task = create(api, support)
    assert task["backbone"] == id_
    assert predict(api, task["id"], [support[0][1]])[0]["label"] == support[0][0]
    assert code_of(api.delete(path)) == (409, "backbone_in_use")
    make_default(api, shipped)
    refused = api.delete(path)
    assert code_of(refused) == (409, "backbone_in_use")
    assert ": 1;" in refused.json()["detail"]
    assert api.get(path).json() == listed[id_] | {"open": True, "engines": ["onnx"], "active_tasks": 1}

    assert api.delete(f"/v1/tasks/{task['id']}").status_code == 204
    assert [api.delete(path).status_code for _ in range(2)] == [204, 204]
    assert api.get(path).json() == listed[id_]


def test_posts_at_once_open_it_once(server: ServerProcess, folder: Path, shipped_bundle: Path) -> None:
    id_ = copy_bundle(shipped_bundle, folder, "wanted-by-many")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: httpx.post(f"{server.url}/v1/backbones", json={"id": id_}, timeout=60), range(8)))
    assert sorted(reply.status_code for reply in replies) == [200] * 7 + [201]
    assert server.log().count(f"serving {id_}") == 1
    assert httpx.delete(f"{server.url}/v1/backbones/{id_}").status_code == 204


def rewrite(bundle: Path, file: str, content: bytes) -> None:
    """The bundle with another content of one file, which its manifest describes as it is."""
    opened = open_bundle(bundle)
    contents = {name: (bundle / name).read_bytes() for name in opened.manifest.files} | {file: content}
    shutil.rmtree(bundle)
    write_bundle(bundle.parent.parent, opened.manifest, contents)


def other_golden(bundle: Path, pixels: Pixels | None = None, embeddings: Float32 | None = None) -> None:
    opened = open_bundle(bundle)
    new = (opened.golden_pixels if pixels is None else pixels, opened.golden_embeddings if embeddings is None else embeddings)
    rewrite(bundle, GOLDEN, golden_bytes(*new))


def rename(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"version": "7"}))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda bundle: spoil(bundle.parent.parent, f"{bundle.parent.name}@{bundle.name}"), "backbone.onnx: the file differs"),
        (lambda bundle: (bundle / GOLDEN).unlink(), "golden.safetensors: cannot be read"),
        (lambda bundle: (bundle / MANIFEST).write_text("{"), "manifest.json: cannot be read"),
        (rename, "@7; the folders must have the same name and version"),
        (lambda bundle: other_golden(bundle, embeddings=np.ones((4, 48), np.float32)), "embeddings are off"),
        (lambda bundle: other_golden(bundle, embeddings=np.ones((4, 5), np.float32)), "its embeddings are"),
        (lambda bundle: other_golden(bundle, pixels=np.zeros((4, 8, 8, 3), np.uint8)), "does not run on the golden images"),
        (lambda bundle: rewrite(bundle, ONNX, b"\x08\x08"), "cannot load backbone.onnx"),
    ],
    ids=["altered", "missing", "no manifest", "misplaced", "computes otherwise", "narrower", "other size", "no network"],
)
def test_what_is_wrong_with_a_bundle_is_told_and_changes_nothing(
    api: httpx.Client,
    folder: Path,
    shipped_bundle: Path,
    request: pytest.FixtureRequest,
    damage: Callable[[Path], object],
    problem: str,
) -> None:
    before = api.get("/v1/backbones").json()
    name = request.node.callspec.id.replace(" ", "-")
    id_ = small_bundle(shipped_bundle, folder, name)
    damage(folder / name / "1")
    response = open_(api, id_)
    assert code_of(response) == (422, "invalid_bundle")
    assert problem in response.json()["detail"]
    assert "/" not in response.json()["detail"]
    after = api.get("/v1/backbones").json()["backbones"]
    assert [backbone for backbone in after if not backbone["id"].startswith(name)] == before["backbones"]
    assert not any(backbone["open"] for backbone in after if backbone["id"].startswith(name))


def test_unknown_bundles_and_bodies_that_say_nothing(api: httpx.Client, folder: Path, shipped: str) -> None:
    for id_ in ("nothing@1", f"../{folder.name}/x@1", "", "x" * 2000):
        assert code_of(open_(api, id_)) == (404, "backbone_not_found")
    path = "/v1/backbones/nothing@1"
    for response in (api.get(path), api.delete(path), api.patch(path, json={"default": True})):
        assert code_of(response) == (404, "backbone_not_found")
    for body in ({}, {"id": 1}, {"id": shipped, "more": 1}):
        assert code_of(api.post("/v1/backbones", json=body)) == (422, "invalid_request")
    for patch in ({}, {"default": False}):
        assert code_of(api.patch(f"/v1/backbones/{shipped}", json=patch)) == (422, "invalid_request")


def default_of(server: ServerProcess) -> str:
    listed = httpx.get(f"{server.url}/v1/backbones").json()
    assert [each["id"] for each in listed["backbones"] if each["default"]] == [listed["default"]]
    return str(listed["default"])


def test_what_new_tasks_get_is_set_and_remembered(tmp_path: Path, shipped_bundle: Path, support: Labelled) -> None:
    """A new data directory has the shipped default, and a bundle is the default because somebody said so, never for being new."""
    ids = [small_bundle(shipped_bundle, tmp_path, name) for name in ("chosen", "named")]
    flags = (*QUICK, "--bundles-dir", str(tmp_path))
    with ServerProcess(tmp_path / "data", *flags, bundle=None) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        assert default_of(server) == DEFAULT_BUNDLE
        assert f"new tasks get {DEFAULT_BUNDLE} (the shipped default)" in server.log()
        open_(api, ids[0])
        make_default(api, ids[0])
    with ServerProcess(tmp_path / "data", *flags, bundle=None) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        assert default_of(server) == ids[0]
        assert f"new tasks get {ids[0]} (as last set)" in server.log()
        assert create(api, support)["backbone"] == ids[0]
    with ServerProcess(tmp_path / "data", *flags, bundle=ids[1]) as server:
        assert default_of(server) == ids[1]
    newest = small_bundle(shipped_bundle, tmp_path, "newest", created_at=datetime.now(UTC) + timedelta(days=1))
    with ServerProcess(tmp_path / "data", *flags, bundle=None) as server:
        assert default_of(server) == ids[1], "what was named at a start is remembered too"
        assert newest in {each["id"] for each in httpx.get(f"{server.url}/v1/backbones").json()["backbones"]}


def test_a_data_directory_that_remembers_nothing_keeps_what_its_newest_task_has(
    tmp_path: Path, shipped_bundle: Path, support: Labelled
) -> None:
    """As those from before anything was remembered: neither a shipped bundle nor a newer one becomes its default."""
    earlier, id_ = (small_bundle(shipped_bundle, tmp_path, name) for name in ("earlier", "had"))
    small_bundle(shipped_bundle, tmp_path, "newest", created_at=datetime.now(UTC) + timedelta(days=1))
    data, flags = tmp_path / "data", (*QUICK, "--bundles-dir", str(tmp_path))
    for bundle in (earlier, id_):
        with ServerProcess(data, *flags, bundle=bundle) as server, httpx.Client(base_url=server.url, timeout=60) as api:
            create(api, support)
    if kind() == "sqlite":
        (data / "default-bundle").unlink()
    else:
        with statements_in(data) as connection:
            connection.execute(delete(choices))
    with ServerProcess(data, *flags, bundle=None) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        assert default_of(server) == id_
        assert f"new tasks get {id_} (as the newest task has it)" in server.log()
        for task in api.get("/v1/tasks").json()["tasks"]:
            assert api.delete(f"/v1/tasks/{task['id']}").is_success
    with ServerProcess(data, *flags, bundle=None) as server:
        assert default_of(server) == id_, "remembered since, without a task"


def check_bundles(api: httpx.Client) -> tuple[int, str, str]:
    response = api.get("/readyz")
    body = response.json()
    return response.status_code, body["status"], body["checks"]["bundles"]


def test_a_bundle_missing_after_a_restore_is_named_everywhere(
    tmp_path: Path, shipped_bundle: Path, support: Labelled, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where only tasks need it, the others are served; where new tasks get it, the server is not ready until it is back."""
    usual, id_ = (small_bundle(shipped_bundle, tmp_path, name) for name in ("usual", "left-behind"))
    data, flags, image = tmp_path / "data", (*QUICK, "--bundles-dir", str(tmp_path)), [support[0][1]]
    with ServerProcess(data, *flags, bundle=usual) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        tasks = [create(api, support)["id"], create_on(api, id_, support, usual)]
        assert check_bundles(api) == (200, "ready", "ok")
    folder = tmp_path / "left-behind"
    folder.rename(tmp_path / ".elsewhere")
    with ServerProcess(data, *flags, bundle=None) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        assert f"{id_} is not on this server as it was: 1 tasks are refused" in server.log()
        assert check_bundles(api) == (200, "degraded", f"missing: {id_} (1 tasks)")
        assert f'headstart_backbone_missing{{backbone="{id_}"}} 1.0' in api.get("/metrics").text
        listed = api.get(f"/v1/backbones/{id_}").json()
        assert (listed["missing"], listed["default"], listed["unserved_tasks"], listed["input"]) == (True, False, 1, None)
        assert predict(api, tasks[0], image)[0]["label"] == support[0][0]
        refused = api.post(f"/v1/tasks/{tasks[1]}/predict", **as_queries(image))
        assert code_of(refused) == (503, "backbone_unavailable")
        assert "retry-after" not in refused.headers
    with ServerProcess(data, *flags, bundle=usual) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        (tmp_path / ".elsewhere").rename(folder)
        assert check_bundles(api) == (200, "ready", "ok"), "nobody asked for it meanwhile"
        assert open_(api, id_).is_success
        make_default(api, id_)
    folder.rename(tmp_path / ".elsewhere")
    with (
        ServerProcess(data, *flags, bundle=None, until="/healthz") as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        assert f"{id_} is not on this server as it was: 1 tasks and new ones are refused" in server.log()
        assert check_bundles(api) == (503, "unavailable", f"missing: {id_} (new tasks, 1 tasks)")
        assert default_of(server) == id_
        refused = api.post("/v1/tasks", **multipart(support))
        assert code_of(refused) == (503, "backbone_unavailable")
        assert "retry-after" not in refused.headers
        assert predict(api, tasks[0], image)[0]["label"] == support[0][0], "the others are served"
        assert api.post(f"/v1/tasks/{tasks[0]}/compare").is_success

        def run(*arguments: str) -> tuple[int, str, str]:
            return main(["--url", server.url, *arguments]), *capsys.readouterr()

        code, listed_, remark = run("backbones")
        assert code == 0
        assert re.search(rf"{id_} +default, missing", listed_)
        assert f"{id_} is missing or damaged on the server: 1 tasks that use it and new tasks are refused" in remark
        started = time.monotonic()
        code, _, why = run("predict", tasks[1], str(next(SAMPLES.glob("query/fish/*.jpg"))))
        assert (code, "`headstart backbones` shows which bundles the server lacks" in why) == (1, True)
        assert time.monotonic() - started < 10
        (tmp_path / ".elsewhere").rename(folder)
        assert open_(api, id_).is_success
        assert check_bundles(api) == (200, "ready", "ok")
        assert create(api, support)["backbone"] == id_
        assert predict(api, tasks[1], image)
        assert "backbone_missing{" not in api.get("/metrics").text


def test_a_bundle_that_could_not_serve_its_tasks_is_mended_while_the_server_runs(
    tmp_path: Path, shipped_bundle: Path, support: Labelled
) -> None:
    usual, id_ = (small_bundle(shipped_bundle, tmp_path, name) for name in ("usual", "fragile"))
    flags = ("--bundles-dir", str(tmp_path), "--bundle", usual)
    with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        task = create_on(api, id_, support, usual)
        (before,) = predict(api, task, [support[0][1]])
    spoil(tmp_path, id_)
    with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:

        def ask() -> httpx.Response:
            return api.post(f"/v1/tasks/{task}/predict", **as_queries([support[0][1]]))

        assert code_of(ask()) == (503, "backbone_unavailable")
        assert code_of(open_(api, id_)) == (422, "invalid_bundle")
        spoil(tmp_path, id_)
        assert open_(api, id_).status_code == 201
        (after,) = ask().json()["predictions"]
        assert after["scores"] == pytest.approx(before["scores"], abs=1e-6)


def test_tasks_of_more_bundles_than_may_be_open_are_all_served(
    tmp_path: Path, shipped_bundle: Path, shipped: str, support: Labelled
) -> None:
    flags = ("--bundles-dir", str(tmp_path), "--bundle", shipped, "--open-bundles", "2")
    with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        tasks = [create_on(api, small_bundle(shipped_bundle, tmp_path, f"small-{i}"), support, shipped) for i in range(3)]
        tasks.append(create(api, support)["id"])
        before = [predict(api, task, [image for _, image in support[:3]]) for task in tasks]
        scores = [[one["scores"] for one in predictions] for predictions in before]
        assert scores[0] == scores[1] == scores[2] != scores[3]
        for turn in range(8):
            assert predict(api, tasks[turn % 4], [image for _, image in support[:3]]) == before[turn % 4]
            listed = api.get("/v1/backbones").json()["backbones"]
            assert sum(len(backbone["engines"]) for backbone in listed) <= 2
            assert next(backbone["open"] for backbone in listed if backbone["default"])


def test_predictions_are_right_beside_one_another_while_a_third_is_opened_and_closed(
    server: ServerProcess,
    api: httpx.Client,
    folder: Path,
    shipped_bundle: Path,
    shipped: str,
    support: Labelled,
    queries: Labelled,
) -> None:
    ids = [small_bundle(shipped_bundle, folder, "beside"), copy_bundle(shipped_bundle, folder, "copied")]
    third = small_bundle(shipped_bundle, folder, "third", brittle=True)
    tasks = [create_on(api, id_, support, shipped) for id_ in (*ids, shipped)]
    images = [image for _, image in queries[::10]]
    expected = {task: predict(api, task, images) for task in tasks}
    done = threading.Event()

    def ask(number: int) -> int:
        answered = 0
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not done.is_set():
                task = tasks[(number + answered) % len(tasks)]
                for got, wanted in zip(predict(client, task, images), expected[task], strict=True):
                    assert got["scores"] == pytest.approx(wanted["scores"], abs=1e-5)
                answered += 1
        return answered

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask, number) for number in range(6)]
        try:
            for _ in range(10):
                assert open_(api, third).status_code == 201
                assert api.delete(f"/v1/backbones/{third}").status_code == 204
        finally:
            done.set()
        assert all(each.result() for each in asking)
    labels = [[prediction["label"] for prediction in expected[task]] for task in tasks]
    assert labels[0] != labels[1] == labels[2]


def under_way(api: httpx.Client, id_: str) -> None:
    """Returns once images are under way on a bundle."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in api.get("/metrics").text.splitlines():
            if line.startswith(f'headstart_admitted_images{{backbone="{id_}"}}') and float(line.split()[-1]) > 0:
                return
    pytest.fail("no image was ever under way")


def test_what_is_under_way_on_a_backbone_that_is_being_closed_is_answered(
    server: ServerProcess, api: httpx.Client, folder: Path, shipped_bundle: Path, shipped: str, support: Labelled
) -> None:
    id_ = copy_bundle(shipped_bundle, folder, "being-closed")
    many = support * 4
    with httpx.Client(base_url=server.url, timeout=60) as other, ThreadPoolExecutor(1) as pool:
        open_(api, id_)
        make_default(api, id_)
        creating = pool.submit(lambda: other.post("/v1/tasks", **multipart(many)))
        under_way(api, id_)
        make_default(api, shipped)
        refused = api.delete(f"/v1/backbones/{id_}")  # It waits for the task, which then uses the backbone.
        assert code_of(refused) == (409, "backbone_in_use")
        task = creating.result().json()
        assert task["backbone"] == id_

        asking = pool.submit(predict, other, task["id"], [image for _, image in many])
        under_way(api, id_)
        assert api.delete(f"/v1/tasks/{task['id']}").status_code == 204
        assert api.delete(f"/v1/backbones/{id_}").status_code == 204
        assert len(asking.result()) == len(many)
    assert not api.get(f"/v1/backbones/{id_}").json()["open"]


def test_the_sdk_opens_chooses_and_closes(server: ServerProcess, folder: Path, shipped_bundle: Path, shipped: str) -> None:
    id_ = small_bundle(shipped_bundle, folder, "by-sdk")
    with Client(server.url) as client:
        with pytest.raises(BackboneNotOpen):
            client.backbones.make_default(id_)
        assert client.backbones.open(id_).engines == ("onnx",)
        assert client.backbones.make_default(id_).default
        with pytest.raises(BackboneInUse):
            client.backbones.close(id_)
        client.backbones.make_default(shipped)
        client.backbones.close(id_)
        (backbone,) = (each for each in client.backbones.list() if each.id == id_)
        assert (backbone.open, backbone.default, backbone.active_tasks) == (False, False, 0)
        spoil(folder, id_)
        with pytest.raises(InvalidBundle):
            client.backbones.open(id_)
        with pytest.raises(BackboneNotFound):
            client.backbones.close("nothing@1")


def test_the_command_opens_chooses_and_closes(
    server: ServerProcess, folder: Path, shipped_bundle: Path, shipped: str, capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = small_bundle(shipped_bundle, folder, "by-command")

    def run(*arguments: str) -> tuple[int, str, str]:
        return main(["--url", server.url, "backbones", *arguments]), *capsys.readouterr()

    assert re.search(rf"{shipped} +default", run()[1])
    assert re.search(rf"{id_} +\w* *0 +48", run()[1])
    code, _, advice = run("default", id_)
    assert (code, "`headstart backbones open BACKBONE`" in advice) == (1, True)
    assert re.search(rf"{id_} +open +onnx", run("open", id_)[1])
    assert json.loads(run("default", id_, "--json")[1])["default"]
    code, _, advice = run("close", id_)
    assert (code, "how many tasks use each" in advice) == (1, True)
    assert run("default", shipped)[0] == 0
    assert run("close", id_) == (0, f"Closed {id_}.\n", "")
    listed = json.loads(run("--json")[1])["backbones"]
    assert listed == httpx.get(f"{server.url}/v1/backbones").json()["backbones"]
