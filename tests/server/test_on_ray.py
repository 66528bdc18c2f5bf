"""The application of Ray Serve, on a real Ray, asked over HTTP through Serve's proxy."""

import io
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from benchmarks.ray_process import RayProcess
from benchmarks.server_process import ROOT, first_key
from models.bundle import PAPER_BUNDLE
from server.settings import InvalidSettings
from tests.helpers.bundles import SMALL
from tests.helpers.databases import database_url, stores_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.helpers.uploads import create, multipart, predict, queries
from tests.helpers.waiting import wait_until
from tests.server.test_workers import metric

SECONDS = 120.0
CALLERS = 16
LIMIT = 400_000

pytestmark = pytest.mark.timeout(600)  # Ray starts a dozen processes, which takes minutes where others use the cores.

_OF_ONE_SERVER = re.compile(r"[a-z]+_[0-9a-z]{26}|^\d{4}-\d\d-\d\dT")


@pytest.fixture(scope="module")
def asked(queries: Labelled) -> Sequence[bytes]:
    return [image for _, image in queries[:8]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, small_bundles: Path) -> Iterator[RayProcess]:
    folder = tmp_path_factory.mktemp("ray")
    with RayProcess(
        folder / "data",
        engine="onnx",
        bundles_dir=str(small_bundles),
        max_body_bytes=str(LIMIT),
        queue_seconds=str(SECONDS),  # Where other tests use the cores, an image may wait for longer than usual.
    ) as application:
        yield application


@pytest.fixture(scope="module")
def api(served: RayProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=SECONDS) as client:
        yield client


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, small_bundles: Path) -> Iterator[httpx.Client]:
    """A client of the server without Ray."""
    flags = ("--engine", "onnx", "--bundles-dir", str(small_bundles))
    with (
        ServerProcess(tmp_path_factory.mktemp("plain") / "data", *flags) as server,
        httpx.Client(base_url=server.url, timeout=SECONDS) as client,
    ):
        yield client


def replicas(application: RayProcess, deployment: str) -> list[psutil.Process]:
    """The processes of a deployment."""
    name = f"ray::ServeReplica:headstart:{deployment}"
    return [
        each
        for each in psutil.Process(application.process.pid).children(recursive=True)
        if each.status() != psutil.STATUS_ZOMBIE and " ".join(each.cmdline()).startswith(name)
    ]


def check_same(ours: Any, theirs: Any) -> None:
    """Checks that two replies differ in ids and times only, and in the last bits of numbers: batches had other sizes."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"timing_ms"}:
            check_same(ours[name], theirs[name])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            check_same(our, their)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    elif not (isinstance(ours, str) and _OF_ONE_SERVER.search(ours)):
        assert ours == theirs


def life_of_a_task(client: httpx.Client, support: Labelled, images: Sequence[bytes]) -> list[Any]:
    """The replies to a task's creation, an addition, and predictions before and after."""
    created = client.post("/v1/tasks", **multipart(support[::2]))
    path = created.headers["location"]
    replies = [created, client.post(f"{path}/predict", **queries(images))]
    replies.append(client.post(f"{path}/examples", **multipart(support[1::2])))
    replies.append(client.post(f"{path}/predict", params={"mode": "transductive"}, **queries(images)))
    replies.append(client.get(path))
    assert [each.status_code for each in replies] == [201, 200, 201, 200, 200]
    return [each.json() for each in replies]


def batches_and_images(api: httpx.Client) -> tuple[float, float]:
    return metric(api, "headstart_batch_images_count"), metric(api, "headstart_batch_images_sum")


def test_answers_are_those_of_the_server(
    api: httpx.Client, plain: httpx.Client, support: Labelled, asked: Sequence[bytes]
) -> None:
    ours, theirs = life_of_a_task(api, support, asked), life_of_a_task(plain, support, asked)
    assert [each["label"] for each in ours[1]["predictions"]] == [each["label"] for each in theirs[1]["predictions"]]
    check_same(ours, theirs)


@pytest.mark.slow
def test_replies_that_are_streamed_come_whole(api: httpx.Client, support: Labelled) -> None:
    task = create(api, support[::5])["id"]
    with zipfile.ZipFile(io.BytesIO(api.get(f"/v1/tasks/{task}/archive").content)) as archive:
        assert archive.testzip() is None
        images = [name for name in archive.namelist() if archive.read(name) in {image for _, image in support[::5]}]
    assert len(images) == len(support[::5])


def test_requests_for_different_tasks_share_batches(api: httpx.Client, support: Labelled, asked: Sequence[bytes]) -> None:
    tasks = [create(api, support[::5])["id"] for _ in range(CALLERS)]
    alone = [predict(api, task, asked[:1])[0]["label"] for task in tasks]
    batches, images = batches_and_images(api)

    def ask(task: str) -> set[str]:  # Never two requests for a task at a time, so images of a batch are of different tasks.
        return {predict(api, task, asked[:1])[0]["label"] for _ in range(10)}

    with ThreadPoolExecutor(CALLERS) as callers:
        assert list(callers.map(ask, tasks)) == [{label} for label in alone]
    batches_after, images_after = batches_and_images(api)
    assert images_after - images >= 10 * CALLERS
    assert batches_after - batches < 0.75 * (images_after - images)


@pytest.mark.slow
def test_bundles_are_multiplexed(served: RayProcess, api: httpx.Client, support: Labelled, asked: Sequence[bytes]) -> None:
    first = create(api, support[::5])
    before = predict(api, first["id"], asked)
    assert api.post("/v1/backbones", json={"id": SMALL}).status_code == 201
    assert api.patch(f"/v1/backbones/{SMALL}", json={"default": True}).status_code == 200
    second = create(api, support[::5])
    assert (first["backbone"], second["backbone"]) == (PAPER_BUNDLE, SMALL)
    expected = {first["id"]: before, second["id"]: predict(api, second["id"], asked)}
    with ThreadPoolExecutor(CALLERS) as callers:
        for task, predictions in zip(expected, callers.map(partial(predict, api, images=asked), expected), strict=True):
            check_same(predictions, expected[task])
    assert api.patch(f"/v1/backbones/{PAPER_BUNDLE}", json={"default": True}).status_code == 200
    opened = re.findall(r"([\w.-]+@\w+) runs on \S+ for all replicas of Api", served.log())
    assert sorted(opened) == sorted([PAPER_BUNDLE, SMALL])  # each once, whoever asks


@pytest.mark.slow
def test_errors_are_the_servers(api: httpx.Client, support: Labelled) -> None:
    lost = api.get("/v1/tasks/task_none", headers={"X-Request-ID": "mine-1"})
    assert (lost.status_code, lost.json()["code"], lost.json()["request_id"]) == (404, "task_not_found", "mine-1")
    assert lost.headers.get_list("X-Request-ID") == ["mine-1"]
    large = api.post("/v1/tasks", **multipart([("a", bytes(LIMIT))]))
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    broken = api.post("/v1/tasks", **multipart([("a", b"no image"), *support[:1]]))
    assert (broken.status_code, broken.json()["code"]) == (422, "image_unsupported")
    assert api.get("/readyz").json()["checks"]["engine"] == "ok"
    assert api.get("/openapi.json").status_code == 200


@pytest.mark.slow
def test_a_killed_engine_replica_is_waited_for_or_answered_503(
    served: RayProcess, api: httpx.Client, support: Labelled, asked: Sequence[bytes]
) -> None:
    task = create(api, support[::5])["id"]
    expected = predict(api, task, asked[:1])
    stop = threading.Event()

    def ask() -> set[int]:
        statuses = set()
        while not stop.is_set():
            reply = api.post(f"/v1/tasks/{task}/predict", **queries(asked[:1]))
            statuses.add(reply.status_code)
            if reply.status_code == 503:
                assert reply.json()["code"] in {"engine_failed", "overloaded"}
                assert int(reply.headers["Retry-After"]) >= 1
            else:
                check_same(reply.json()["predictions"], expected)
        return statuses

    with ThreadPoolExecutor(4) as callers:
        asking = [callers.submit(ask) for _ in range(4)]
        try:
            (killed,) = replicas(served, "Engines")
            killed.kill()
            wait_until(lambda: [each for each in replicas(served, "Engines") if each != killed] != [], SECONDS)
            wait_until(lambda: api.post(f"/v1/tasks/{task}/predict", **queries(asked[:1])).status_code == 200, SECONDS)
        finally:
            stop.set()
        statuses = set().union(*(each.result() for each in asking))
    assert 200 in statuses <= {200, 503}


@pytest.mark.slow
def test_a_killed_api_replica_loses_nothing_that_was_acknowledged(
    served: RayProcess, api: httpx.Client, support: Labelled, asked: Sequence[bytes]
) -> None:
    task = create(api, support[::5])["id"]
    expected = predict(api, task, asked)
    (killed,) = replicas(served, "Api")
    killed.kill()
    wait_until(lambda: api.get("/readyz").status_code == 200, SECONDS)
    check_same(predict(api, task, asked), expected)


@pytest.mark.slow
def test_several_replicas_need_postgresql(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="2 replicas of Api need a database_url of PostgreSQL"):
        RayProcess(tmp_path / "data", engine=FAST_ENGINE, replicas={"Api": {"num_replicas": 2}})


@pytest.mark.slow
def test_replicas_share_tasks_keys_and_engines(tmp_path: Path, support: Labelled, asked: Sequence[bytes]) -> None:
    both = {"Api": {"num_replicas": 2}, "Engines": {"num_replicas": 2}}
    with stores_in("postgresql"):
        url = database_url(tmp_path / "data")
        key = first_key(tmp_path / "data", database=url)
        with (
            RayProcess(tmp_path / "data", engine=FAST_ENGINE, database_url=url, insecure="false", replicas=both) as application,
            httpx.Client(base_url=application.url, timeout=SECONDS) as api,
        ):
            assert api.get("/v1/tasks").status_code == 401
            api.headers["Authorization"] = f"Bearer {key}"
            created = api.post("/v1/tasks", **multipart(support[::5]))
            api.headers["Headstart-At-Least"] = created.headers["Headstart-At-Least"]
            ask = partial(predict, api, created.json()["id"], asked[:1])
            expected = ask()
            with ThreadPoolExecutor(CALLERS) as callers:
                for answer in [callers.submit(ask) for _ in range(10 * CALLERS)]:
                    check_same(answer.result(), expected)
            answered = set(re.findall(r"Replica:headstart:Api pid=(\d+)\).*/predict 200", application.log()))
            embedded = set(re.findall(r"Replica:headstart:Engines pid=(\d+)\).*CALL embed OK", application.log()))
            assert len(answered) == len(embedded) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"data_dir": "/data", "max_imagez": "3"}, "max_imagez: Extra inputs are not permitted"),
        ({"data_dir": "/data", "max_images": "0"}, "max_images: Input should be greater than or equal to 1"),
        ({"data_dir": "/data", "port": "80"}, "port: that is Serve's to say"),
        ({"data_dir": "/data", "host": "127.0.0.1"}, "host: that is Serve's to say"),
        ({"data_dir": "data"}, "absolute paths"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_starts(arguments: dict[str, str], said: str) -> None:
    from server.on_ray import application

    with pytest.raises(InvalidSettings, match=said):
        application(arguments)


def test_the_configuration_is_one_of_serve_and_names_our_deployments() -> None:
    from ray.serve.schema import ServeDeploySchema

    from server.on_ray import application, deployments

    schema = ServeDeploySchema(**yaml.safe_load((ROOT / "deploy" / "ray" / "headstart.yaml").read_text()))
    (ours,) = schema.applications
    assert ours.import_path == "server.on_ray:application"
    assert [hasattr(deployments, each.name) for each in ours.deployments] == [True, True]
    assert application(ours.args) is not None
