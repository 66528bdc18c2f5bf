"""A server of several processes: what was acknowledged holds in each, and none can end without the others going on."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from benchmarks.server_process import ROOT, free_port
from tests.helpers.grpc_calls import Caller, infer_request
from tests.helpers.open_inference import answered as answer_of
from tests.helpers.open_inference import triton_request
from tests.helpers.samples import Labelled
from tests.helpers.servers import RealServer, environment_of, run_server
from tests.helpers.uploads import create, multipart, queries
from tests.helpers.waiting import wait_until

WORKERS = 3
CLIENTS = 32
MANAGE = ("--scope", "manage")
SECONDS = 60.0


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def running(folder: Path, small_flags: tuple[str, ...], grpc_port: int) -> Iterator[RealServer]:
    flags = ("--workers", str(WORKERS), "--engine", "onnx", "--body-timeout", "2", "--grpc-port", str(grpc_port), *small_flags)
    with RealServer(folder / "data", *flags) as server:
        yield server
        assert server.stop() == 0, server.log()


@pytest.fixture
def many(running: RealServer) -> Iterator[httpx.Client]:
    """A client that opens a connection for each request, so that any worker may answer."""
    with httpx.Client(base_url=running.url, timeout=SECONDS, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


def connecting(url: str, key: str) -> httpx.Client:
    """A client with a key, that opens a connection for each request, so that any worker may answer."""
    headers, limits = {"Authorization": f"Bearer {key}"}, httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=url, timeout=SECONDS, headers=headers, limits=limits)


def children(server: RealServer) -> list[psutil.Process]:
    """The owner, and then the workers, in the order in which they were started."""
    return sorted(psutil.Process(server.process.pid).children(), key=lambda process: process.create_time())


def metric(api: httpx.Client, name: str) -> float:
    """The sum of a metric's samples that begin with `name`."""
    lines = api.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


class Load:
    """Clients that create, change and ask tasks until told to stop, each over connections that it keeps.

    Attributes:
        failures: what was not answered as it should be.
        acknowledged: by task, the newest version that an answer named.
    """

    def __init__(self, server: RealServer, support: Labelled, clients: int = 8) -> None:
        self.failures: list[str] = []
        self.acknowledged: dict[str, int] = {}
        self.asked = 0
        self._server = server
        self._support = support
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self._server.url, timeout=SECONDS) as api:
            while not self._over.is_set():
                try:
                    self._turn(api, number)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))

    def _turn(self, api: httpx.Client, number: int) -> None:
        reply = api.post("/v1/tasks", **multipart(self._support[::5], name=f"load {number}"))
        if not self._fine(reply, 201):
            return
        task = reply.json()["id"]
        self.acknowledged[task] = 1
        for version in (2, 3):
            reply = api.post(f"/v1/tasks/{task}/examples", **multipart(self._support[version : version + 1]))
            if self._fine(reply, 201):
                self.acknowledged[task] = reply.json()["version"]
            for _ in range(3):
                answer = api.post(f"/v1/tasks/{task}/predict", **queries([self._support[0][1]]))
                if self._fine(answer, 200) and answer.json()["version"] < self.acknowledged[task]:
                    self.failures.append(f"version {answer.json()['version']} after {self.acknowledged[task]}")
                self.asked += 1

    def _fine(self, reply: httpx.Response, status: int) -> bool:
        if reply.status_code != status:
            self.failures.append(f"{reply.request.method} {reply.request.url.path}: {reply.status_code} {reply.text}")
        return reply.status_code == status


def test_the_owner_and_every_worker_are_processes_of_their_own(running: RealServer) -> None:
    assert len(children(running)) == 1 + WORKERS


def test_every_worker_answers_agents(many: httpx.Client, running: RealServer, support: Labelled) -> None:
    """What an agent's tool asks comes to the worker that has the agent's message, which passes on what is the owner's."""

    def call(tool: str, **arguments: Any) -> dict[str, Any]:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
        answer: dict[str, Any] = many.post("/mcp", json=message, headers=headers).json()["result"]["structuredContent"]
        return answer

    pair = [(label, {"base64": base64.b64encode(image).decode()}) for label, image in support[::5][:2]]
    made = call("create_task", name="of an agent", examples=[{"label": label, "image": image} for label, image in pair])
    for label, image in pair * 6:
        seen = call("classify", task=made["id"], images=[image])
        assert (seen["version"], seen["predictions"][0]["label"]) == (1, label)
    assert len(set(re.findall(r'"process": "(worker \d+)"[^\n]*"message": "POST /mcp 200', running.log()))) > 1


def test_every_worker_answers_from_what_was_acknowledged(running: RealServer, support: Labelled) -> None:
    def change_and_ask(number: int) -> None:
        with httpx.Client(base_url=running.url, timeout=SECONDS, limits=httpx.Limits(max_keepalive_connections=0)) as api:
            task = create(api, support[::5], name=f"task {number}")["id"]
            for version in range(2, 5):
                image = support[version * 5 + 1][1]
                added = api.post(f"/v1/tasks/{task}/examples", **multipart([(f"new {number} {version}", image)]))
                assert added.json()["version"] == version, added.text
                for _ in range(4):
                    answer = api.post(f"/v1/tasks/{task}/predict", **queries([image])).json()
                    assert answer["version"] == version
                    assert f"new {number} {version}" in answer["predictions"][0]["scores"]
            assert api.patch(f"/v1/tasks/{task}", json={"active_version": 1}).status_code == 200
            for _ in range(4):
                assert api.post(f"/v1/tasks/{task}/predict", **queries([image])).json()["version"] == 1
            assert api.delete(f"/v1/tasks/{task}").status_code == 204
            for _ in range(4):
                assert api.post(f"/v1/tasks/{task}/predict", **queries([image])).status_code == 404

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(change_and_ask, range(CLIENTS)))


def test_models_are_asked_of_every_worker_and_counted_in_all(many: httpx.Client, support: Labelled) -> None:
    task = create(many, support[::5])["id"]
    image = support[0][1]
    scores = many.post(f"/v1/tasks/{task}/predict", **queries([image])).json()["predictions"][0]["scores"]
    labels = json.loads(many.get(f"/v2/models/{task}/config").json()["parameters"]["labels"]["string_value"])
    for _ in range(12):
        found = answer_of(many.post(f"/v2/models/{task}/infer", **triton_request([image])))
        np.testing.assert_array_equal(found.tensors["PROBABILITY"], np.array([[scores[k] for k in labels]], np.float32))
    assert many.get("/v2/health/ready").json() == {"live": True, "ready": True}
    stats = f"/v2/models/{task}/stats"
    wait_until(lambda: many.get(stats).json()["model_stats"][0]["inference_count"] == 12)


def test_every_worker_answers_grpc(many: httpx.Client, running: RealServer, grpc_port: int, support: Labelled) -> None:
    """The kernel deals out connections. What a worker cannot tell, the owner does."""

    def listens(process: psutil.Process) -> bool:
        found = process.net_connections("tcp")
        return any(each.laddr.port == grpc_port for each in found if each.status == psutil.CONN_LISTEN)

    wait_until(lambda: sum(map(listens, children(running))) == WORKERS)
    task = create(many, support)["id"]
    question = infer_request(task, [support[0][1]], ["PROBABILITY", "KNOWN"])
    answers = []
    for _ in range(4 * WORKERS):
        with Caller(grpc_port) as caller:
            answers.append(caller("ModelInfer", question))
            assert task in {each.name for each in caller("RepositoryIndex", ready=True).models}
    assert all(answer == answers[0] for answer in answers)
    with Caller(grpc_port) as caller:
        wait_until(lambda: caller("ModelStatistics", name=task).model_stats[0].execution_count == len(answers))


def test_a_request_for_all_tasks_names_those_that_there_are_now(many: httpx.Client, support: Labelled) -> None:
    for _ in range(4):
        task = create(many, support[::5])["id"]
        for _ in range(4):
            answer = many.post("/v1/predict", params={"tasks": "all"}, **queries([support[0][1]])).json()
            assert answer["results"][0]["task"] == task
        many.delete(f"/v1/tasks/{task}")
        for _ in range(4):
            answer = many.post("/v1/predict", params={"tasks": "all"}, **queries([support[0][1]])).json()
            assert task not in [result["task"] for result in answer.get("results", [])]


def test_what_workers_capture_is_stored_and_forgotten(many: httpx.Client, support: Labelled) -> None:
    task = create(many, support[::5], capture=json.dumps({"keep": "all"}))
    for _ in range(8):
        assert many.post(f"/v1/tasks/{task['id']}/predict", **queries([support[1][1]])).status_code == 200
    captures = f"/v1/tasks/{task['id']}/captures"
    wait_until(lambda: many.get(captures).json()["total"] == 8)
    many.post(f"/v1/tasks/{task['id']}/predict", **queries([support[2][1]]))
    example = many.get(f"/v1/tasks/{task['id']}/examples").json()["examples"][0]["id"]
    assert many.delete(f"/v1/tasks/{task['id']}/examples/{example}", params={"forget": "true"}).status_code == 200
    time.sleep(2.5)  # Captures that wait are stored within two seconds.
    assert many.get(captures).json()["total"] == 0


def test_metrics_are_the_sum_of_all_processes(many: httpx.Client, running: RealServer, support: Labelled) -> None:
    task = create(many, support[::5])["id"]
    name = 'headstart_responses_total{method="POST",route="/v1/tasks/{task}/predict",status="200"}'
    before = metric(many, name)
    for _ in range(20):
        assert many.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code == 200
    assert metric(many, name) == before + 20
    resident = sum(process.memory_info().rss for process in [psutil.Process(running.process.pid), *children(running)])
    assert metric(many, "process_resident_memory_bytes") == pytest.approx(resident, rel=0.2)


def answered(server: RealServer, request: bytes) -> bytes:
    """The first line of the answer to a request as it stands."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", 408),
        (b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nab", 415),
        (b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nab", 413),
        (b"PUT /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nab", 405),
        (b"POST /v1/tasks HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1000\r\n\r\nab", 421),
        (b"GET /v1/tasks HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/tasks HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ],
)
def test_a_refusal_does_not_wait_for_a_body(running: RealServer, head: bytes, status: int) -> None:
    assert answered(running, head).split()[1] == str(status).encode()


def test_each_process_answers_clients_of_other_services(many: httpx.Client, support: Labelled) -> None:
    task = create(many, support[::5])["id"]
    for path in (f"/v1/tasks/{task}/hf", f"/customvision/v3.1/prediction/{task}/classify/iterations/1/image"):
        for _ in range(4 * WORKERS):
            assert many.post(path, content=support[0][1]).status_code == 200


def test_predictions_to_be_remembered_are_stored_however_that_is_written(many: httpx.Client, support: Labelled) -> None:
    task = create(many, support[::5])["id"]
    for query in ("remember=true", "%72emember=true", "top_k=1&remember=true"):
        answer = many.post(f"/v1/tasks/{task}/predict?{query}", **queries([support[0][1]]))
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["prediction"]


def test_a_killed_worker_is_replaced(many: httpx.Client, running: RealServer, support: Labelled) -> None:
    task = create(many, support[::5])["id"]
    name = 'headstart_responses_total{method="POST",route="/v1/tasks/{task}/predict"'
    counted = metric(many, name)
    before = children(running)
    with Load(running, support) as load:
        wait_until(lambda: load.asked > 50)
        before[1].kill()
        wait_until(lambda: len(children(running)) == 1 + WORKERS and before[1] not in children(running))
        asked = load.asked
        wait_until(lambda: load.asked > asked + 50)
    assert all("Error" in failure for failure in load.failures), load.failures  # cut, and none answered wrongly
    assert metric(many, name) > counted
    for known, version in load.acknowledged.items():
        assert many.get(f"/v1/tasks/{known}").json()["version"] >= version
    assert many.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code == 200


def test_while_the_owner_is_replaced_predictions_go_on_and_nothing_is_lost(
    many: httpx.Client, running: RealServer, support: Labelled
) -> None:
    task = create(many, support[::5])["id"]
    before = children(running)
    with Load(running, support) as load:
        wait_until(lambda: load.asked > 50)
        before[0].kill()
        while before[0] in children(running) or len(children(running)) < 1 + WORKERS:
            assert many.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code == 200
        assert create(many, support[::5])["version"] == 1  # It waits for the new owner.
        assert many.get("/readyz").json()["status"] == "ready"
        asked = load.asked
        wait_until(lambda: load.asked > asked + 50)
    assert all("503" in failure and "Idempotency-Key" in failure for failure in load.failures), load.failures
    for known, version in load.acknowledged.items():
        assert many.get(f"/v1/tasks/{known}").json()["version"] >= version


def restart_all(server: RealServer, support: Labelled) -> None:
    """Replaces every process of a server under load, of which no request fails."""
    before = children(server)
    with Load(server, support) as load:
        wait_until(lambda: load.asked > 50)
        os.kill(server.process.pid, signal.SIGHUP)
        wait_until(lambda: not set(before) & set(children(server)))
        asked = load.asked
        wait_until(lambda: load.asked > asked + 50)
    assert load.failures == []
    assert len(children(server)) == len(before)


def test_a_rolling_restart_fails_no_request(many: httpx.Client, running: RealServer, support: Labelled) -> None:
    counters = ("headstart_responses_total", "headstart_stage_seconds_count")
    counted, cpu = [metric(many, name) for name in counters], metric(many, "process_cpu_seconds_total")
    restart_all(running, support)
    assert len(children(running)) == 1 + WORKERS
    of_new = sum(sum(process.cpu_times()[:2]) for process in children(running))
    assert metric(many, "process_cpu_seconds_total") > cpu + of_new - 0.5
    assert all(metric(many, name) >= value for name, value in zip(counters, counted, strict=True))
    files = Path(children(running)[0].environ()["PROMETHEUS_MULTIPROC_DIR"]).iterdir()
    living = {"ended", str(running.process.pid), *(str(process.pid) for process in children(running))}
    assert {file.stem.rpartition("_")[2] for file in files} <= living


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data directory and its `manage` key."""
    folder = tmp_path_factory.mktemp("keyed")
    made = run_server("keys", "create", "--tenant", "default", "--data-dir", str(folder / "data"), *MANAGE, folder=folder)
    return folder / "data", made.stdout.strip()


@pytest.fixture(scope="module")
def keyed(keys: tuple[Path, str], small_flags: tuple[str, ...]) -> Iterator[RealServer]:
    with RealServer(keys[0], "--workers", str(WORKERS), "--engine", "onnx", *small_flags) as server:
        yield server
        assert server.stop() == 0, server.log()


@pytest.fixture
def holder(keyed: RealServer, keys: tuple[Path, str]) -> Iterator[httpx.Client]:
    with connecting(keyed.url, keys[1]) as client:
        yield client


def test_a_revoked_key_opens_no_worker(holder: httpx.Client, keyed: RealServer, support: Labelled) -> None:
    task = create(holder, support[::5])["id"]
    for _ in range(5):
        made = holder.post("/v1/keys", json={"scope": "predict"}).json()
        with connecting(keyed.url, made["token"]) as caller:
            for _ in range(4):
                assert caller.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code == 200
            assert holder.delete(f"/v1/keys/{made['id']}").status_code == 204
            for _ in range(8):
                assert caller.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code == 401


def test_a_quota_counts_what_all_workers_answer(
    holder: httpx.Client, keyed: RealServer, keys: tuple[Path, str], support: Labelled, tmp_path: Path
) -> None:
    task = create(holder, support[::5])["id"]
    made = holder.post("/v1/keys", json={"scope": "predict"}).json()
    limit = ("--tenant", "default", "--key", made["id"], "--images-per-minute", "10", "--data-dir", str(keys[0]))
    assert run_server("quotas", "set", *limit, folder=tmp_path).returncode == 0
    with connecting(keyed.url, made["token"]) as caller:
        wait_until(lambda: "RateLimit" in caller.get("/v1/limits").headers)
        time.sleep(1.0)  # Each process looks once a second.
        answered = [caller.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code for _ in range(30)]
    assert 10 <= answered.count(200) <= 12  # A quota of ten a minute lets one more pass every six seconds.
    assert answered.count(429) == 30 - answered.count(200)


def test_a_server_that_is_stopped_answers_what_it_took(tmp_path: Path, small_flags: tuple[str, ...], support: Labelled) -> None:
    with RealServer(tmp_path / "data", "--workers", "2", "--engine", "onnx", *small_flags) as server:
        processes = children(server)
        with Load(server, support) as load:
            wait_until(lambda: load.asked > 20)
            assert server.stop() == 0
        assert all("Error" in failure for failure in load.failures), load.failures  # refused, and none half answered
        assert not any(process.is_running() for process in processes)
        assert "exception" not in server.log()


def test_a_stop_during_the_start_leaves_no_process(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    flags = ("--workers", "3", "--engine", "onnx", *small_flags)
    with RealServer(tmp_path / "data", *flags, until="/healthz") as server:  # as soon as one of the workers answers
        processes = children(server)
        assert server.stop() == 0
        assert not any(process.is_running() for process in processes)


@pytest.mark.slow
@pytest.mark.parametrize("replaced", [1, 2], ids=["of the owner", "of a worker"])
def test_a_stop_during_a_rolling_restart(tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, replaced: int) -> None:
    with RealServer(tmp_path / "data", "--workers", "2", "--engine", "onnx", *small_flags) as server:
        with Load(server, support) as load:
            wait_until(lambda: load.asked > 20 and "with 2 workers" in server.log())  # A SIGHUP during the start does nothing.
            before = children(server)
            os.kill(server.process.pid, signal.SIGHUP)
            wait_until(lambda: len(set(before) - set(children(server))) >= replaced)
            seen, begun = children(server), time.monotonic()
            assert server.stop() == 0
            lasted = time.monotonic() - begun
        assert lasted < 20  # not the half minute that a process gets which does not stop
        allowed = ("Error", "503")  # refused, cut, or told that the change may have been stored
        assert all(any(word in failure for word in allowed) for failure in load.failures), load.failures
        assert not any(process.is_running() for process in (*before, *seen))
        assert "exception" not in server.log()


@pytest.mark.sqlite("one server alone may open it")
def test_what_prevents_the_start_is_told_and_nothing_stays(
    running: RealServer, folder: Path, small_flags: tuple[str, ...]
) -> None:
    before = children(running)
    flags = ("--workers", "2", "--engine", "onnx", "--data-dir", str(folder / "data"), *small_flags)
    command = [sys.executable, "-m", "server", "--port", str(free_port()), *flags]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment_of(command)
    )
    assert ended.returncode == 1
    assert "in use by another server" in ended.stderr
    assert httpx.get(f"{running.url}/readyz", timeout=SECONDS).json()["status"] == "ready"
    assert children(running) == before
