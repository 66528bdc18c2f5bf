"""64 clients on 200 tasks at once: mixed creation, change, deletion and prediction.

No wrong head: every task is given its own labels, so a prediction by another task's head, or by a version that was never this
task's, names labels that its owner does not know. No error but the documented ones. Memory flat after warm-up.
"""

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.server_process import ROOT, free_port
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, environment_of
from tests.helpers.uploads import create, multipart, queries

CLIENTS = 64
TASKS = 200
DOCUMENTED = {"task_not_found", "example_not_found", "too_few_classes", "conflict", "overloaded"}


@dataclass
class Shared:
    """The tasks that all clients work on, by slot: an id, and every label that was ever given to it."""

    ids: list[str]
    labels: dict[str, set[str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        with self.lock:
            self.done[what] = self.done.get(what, 0) + 1


def named(support: Labelled, owner: str, count: int, rng: random.Random) -> list[tuple[str, bytes]]:
    """Examples of two or three classes whose labels tell whose they are."""
    return [(f"{owner} {i % 3}", image) for i, (_, image) in enumerate(rng.sample(list(support), count))]


def fresh(api: httpx.Client, shared: Shared, slot: int, support: Labelled, rng: random.Random) -> None:
    owner = f"owner {slot} {rng.random()}"
    examples = named(support, owner, 4, rng)
    task = create(api, examples)["id"]
    with shared.lock:
        shared.labels[task] = {label for label, _ in examples}
        shared.ids[slot] = task


def act(api: httpx.Client, shared: Shared, support: Labelled, rng: random.Random) -> None:
    slot = rng.randrange(TASKS)
    task = shared.ids[slot]
    path = f"/v1/tasks/{task}"
    dice = rng.random()
    if dice < 0.7:
        response = api.post(
            f"{path}/predict", **queries([image for _, image in rng.sample(list(support), rng.choice([1, 1, 4]))])
        )
        if response.status_code == 200:
            with shared.lock:
                known = set(shared.labels[task])
            for prediction in response.json()["predictions"]:
                assert prediction["scores"].keys() <= known, "an answer by another task's head"
    elif dice < 0.8:
        with shared.lock:
            label = f"{min(shared.labels[task], key=len)} more {rng.random()}"
            shared.labels[task].add(label)
        response = api.post(f"{path}/examples", **multipart([(label, rng.choice(support)[1])]))
    elif dice < 0.9:
        found = api.get(f"{path}/examples").json().get("examples", [{"id": "gone"}])
        response = api.delete(f"{path}/examples/{rng.choice(found)['id']}")
    elif dice < 0.95:
        response = api.patch(path, json={"active_version": 1})
    else:
        response = api.delete(path)
        if response.status_code == 204:
            fresh(api, shared, slot, support, rng)
    shared.count(str(response.status_code) if response.is_success else response.json()["code"])
    assert response.is_success or response.json()["code"] in DOCUMENTED, response.text


@pytest.mark.parametrize("acts", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_everything_at_once(tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, acts: int) -> None:
    """Each client acts so many times; the memory of the second half of that is compared with the first's."""
    shared = Shared([""] * TASKS)
    with ServerProcess(tmp_path / "data", *small_flags, "--log-level", "warning") as process:
        memory = psutil.Process(process.process.pid).memory_info
        setting_up = iter(range(TASKS))
        warm: list[int] = []

        # 64 connections, on a few threads' worth of work each: a client waits most of the time.
        def client(number: int) -> None:
            rng = random.Random(number)
            with httpx.Client(base_url=process.url, timeout=60) as api:
                while (slot := next_slot()) is not None:
                    fresh(api, shared, slot, support, rng)
                tasks_are_there.wait(120)
                for _ in range(acts // 2):
                    act(api, shared, support, rng)
                half_time.wait(120)
                for _ in range(acts // 2):
                    act(api, shared, support, rng)

        slots_lock = threading.Lock()

        def next_slot() -> int | None:
            with slots_lock:
                return next(setting_up, None)

        tasks_are_there = threading.Barrier(CLIENTS)
        half_time = threading.Barrier(CLIENTS, action=lambda: warm.append(memory().rss))
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(client, number) for number in range(CLIENTS)]
            for each in as_completed(clients):
                if each.exception():  # The others would wait for it.
                    tasks_are_there.abort()
                    half_time.abort()
            for each in clients:
                each.result()
        grown = memory().rss - warm[0]
        assert process.stop() == 0
    assert shared.done["200"] > 500
    assert grown < 64 * 2**20, f"{grown / 2**20:.0f} MiB more than at half time"
    assert "Traceback" not in process.log()


def test_matrix_products_keep_to_one_core(tmp_path: Path) -> None:
    """Two that share cores wait for each other many times as long as they compute."""
    program = (
        "import threadpoolctl, uvicorn; from server.__main__ import main; "
        "uvicorn.Server.run = lambda *_: print({each['num_threads'] for each in threadpoolctl.threadpool_info() "
        "if each['user_api'] == 'blas'}); "
        f"main(['--data-dir', {str(tmp_path / 'data')!r}, '--port', '{free_port()}', '--engine', 'onnx'])"
    )
    environment = {**environment_of(["--data-dir", str(tmp_path / "data")]), "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    assert done.stdout.strip() == "{1}"
