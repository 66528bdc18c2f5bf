"""A server whose processes share engines: one runs them, and it can end without the others' answers being wrong."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.helpers.samples import Labelled
from tests.helpers.servers import RealServer, ServerProcess
from tests.helpers.uploads import create, queries
from tests.helpers.waiting import wait_until
from tests.server.test_workers import CLIENTS, SECONDS, Load, children, metric, restart_all

WORKERS = 2
FLAGS = ("--workers", str(WORKERS), "--engine", "onnx", "--shared-engine")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[RealServer]:
    with RealServer(tmp_path_factory.mktemp("shared") / "data", *FLAGS, *small_flags) as server:
        yield server  # The last test stops it.


@pytest.fixture
def many(running: RealServer) -> Iterator[httpx.Client]:
    """A client that opens a connection for each request, so that any worker may answer."""
    with httpx.Client(base_url=running.url, timeout=SECONDS, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


def seats(server: RealServer) -> dict[int, psutil.Process]:
    """The server's processes but the first, by the number of their seats. The newest of a seat counts."""
    found = {}
    for process in children(server):
        with suppress(psutil.NoSuchProcess, KeyError):  # It has just ended, or has just been forked.
            found[seat_of(process)["number"]] = process
    return found


def seat_of(process: psutil.Process) -> dict[str, Any]:
    seat: dict[str, Any] = json.loads(process.environ()["_HEADSTART_SEAT"])
    return seat


def wait_until_replaced(server: RealServer, number: int, before: psutil.Process) -> None:
    wait_until(lambda: number in (now := seats(server)) and now[number] != before and len(now) == 2 + WORKERS)


def test_one_process_runs_the_engine_of_all(running: RealServer, many: httpx.Client, support: Labelled) -> None:
    assert sorted(seats(running)) == [-1, 0, 1, 2]
    lines = [json.loads(line) for line in running.log().splitlines() if line.startswith("{")]
    assert [line["process"] for line in lines if "for all processes" in line["message"]] == ["device"]
    task = create(many, support[::5])["id"]
    before = metric(many, "headstart_batch_images_sum")
    for _ in range(10):
        assert many.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]] * 3)).status_code == 200
    assert metric(many, "headstart_batch_images_sum") == before + 30
    assert metric(many, "headstart_admitted_images") == 0


def test_answers_are_those_of_a_server_with_its_own_engine(
    many: httpx.Client, small_flags: tuple[str, ...], support: Labelled, tmp_path: Path
) -> None:
    def ask(api: httpx.Client, task: str, at: int) -> list[dict[str, float]]:
        images = [image for _, image in support[at % 5 :: 5]]
        reply = api.post(f"/v1/tasks/{task}/predict", **queries(images))
        assert reply.status_code == 200, reply.text
        return [{**each["scores"], "novelty": each["novelty"]} for each in reply.json()["predictions"]]

    with ServerProcess(tmp_path / "data", *small_flags) as own, httpx.Client(base_url=own.url, timeout=SECONDS) as api:
        task = create(api, support[::5])["id"]
        expected = [ask(api, task, at) for at in range(5)]
    task = create(many, support[::5])["id"]
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda at: ask(many, task, at), range(3 * CLIENTS)))
    for at, answer in enumerate(answers):
        for one, other in zip(answer, expected[at % 5], strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def test_a_killed_device_is_replaced_and_only_its_requests_may_fail(
    many: httpx.Client, running: RealServer, support: Labelled
) -> None:
    task = create(many, support[::5])["id"]
    with Load(running, support) as load:
        wait_until(lambda: load.asked > 50)
        device = seats(running)[-1]
        device.kill()
        wait_until_replaced(running, -1, device)
        asked = load.asked
        wait_until(lambda: load.asked > asked + 50)
    assert all(": 503 " in failure and ("engine_failed" in failure or "overloaded" in failure) for failure in load.failures), (
        load.failures
    )
    assert many.get("/readyz").json()["status"] == "ready"
    assert many.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code == 200


def test_a_worker_that_is_killed_at_work_frees_its_places(many: httpx.Client, running: RealServer, support: Labelled) -> None:
    with Load(running, support) as load:
        wait_until(lambda: load.asked > 50)
        for number in (1, 2):
            worker = seats(running)[number]
            worker.kill()
            wait_until_replaced(running, number, worker)
        asked = load.asked
        wait_until(lambda: load.asked > asked + 50)
    assert all("Error" in failure for failure in load.failures), load.failures  # cut, and none answered wrongly
    wait_until(lambda: metric(many, "headstart_admitted_images") == 0)
    assert metric(many, "headstart_queue_images") == 0


@pytest.mark.slow
def test_a_rolling_restart_fails_no_request(running: RealServer, support: Labelled) -> None:
    restart_all(running, support)
    assert len(children(running)) == 2 + WORKERS


def test_a_server_that_is_stopped_answers_what_it_took(running: RealServer, support: Labelled) -> None:
    processes = children(running)
    folder = Path(seat_of(processes[0])["folder"])
    with Load(running, support) as load:
        wait_until(lambda: load.asked > 20)
        assert running.stop() == 0
    assert all("Error" in failure for failure in load.failures), load.failures  # refused, and none half answered
    assert not any(process.is_running() for process in processes)
    assert not folder.exists()


@pytest.mark.slow
def test_nothing_is_left_in_memory_whatever_is_killed(tmp_path: Path, small_flags: tuple[str, ...], support: Labelled) -> None:
    flags = (*FLAGS, *small_flags)
    with RealServer(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=SECONDS) as api:
        create(api, support[::5])
        folder = Path(seat_of(children(server)[0])["folder"])
        for number in (-1, 0, 1):
            process = seats(server)[number]
            process.kill()
            wait_until_replaced(server, number, process)
        wait_until(lambda: httpx.get(f"{server.url}/readyz", timeout=SECONDS).status_code == 200)
        assert folder.is_dir()
        left = children(server)
        server.kill()
        psutil.wait_procs(left, SECONDS)
        assert not any(process.is_running() for process in left)
        assert not folder.exists()
