"""Nothing acknowledged is lost: a real server process, killed with SIGKILL at random moments, over and over."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from models.manifest import Solver
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart, predict

WRITERS = 4

State = dict[str, Any] | None
"""What a task looked like in a reply; None once it is deleted."""


@dataclass
class Ledger:
    """What one writer was told, and the one thing it may have asked for without hearing back."""

    acknowledged: dict[str, State] = field(default_factory=dict)
    pending: str | None = None  # a task's id, or "new"


def write_until_killed(url: str, support: Labelled, ledger: Ledger, rng: random.Random) -> None:
    """Creates, changes, rolls back and deletes its own tasks until the connection breaks."""
    with httpx.Client(base_url=url, timeout=30) as api:
        try:
            while True:
                step(api, support, ledger, rng)
                ledger.pending = None
        except httpx.TransportError:
            return


def step(api: httpx.Client, support: Labelled, ledger: Ledger, rng: random.Random) -> None:
    alive = [task for task, state in ledger.acknowledged.items() if state]
    action = rng.choice(["create", "add", "remove", "rollback", "delete"]) if len(alive) > 1 else "create"
    if action == "create":
        ledger.pending = "new"
        response = api.post("/v1/tasks", **multipart(rng.sample(support[:5], 2) + rng.sample(support[5:], 4)))
    else:
        task = rng.choice(alive)
        ledger.pending = task
        path = f"/v1/tasks/{task}"
        if action == "add":
            response = api.post(f"{path}/examples", **multipart([rng.choice(support)]))
        elif action == "remove":
            example = api.get(f"{path}/examples").json()["examples"][-1]["id"]
            response = api.delete(f"{path}/examples/{example}")
        elif action == "rollback":
            response = api.patch(path, json={"active_version": 1})
        else:
            response = api.delete(path)
            assert response.status_code == 204
            ledger.acknowledged[task] = None
            return
    if response.json().get("code") == "too_few_classes":
        return
    assert response.is_success, response.text
    reply = {key: value for key, value in response.json().items() if key not in {"quality", "timing_ms"}}
    ledger.acknowledged[reply["id"]] = reply


def changed(before: Sequence[Mapping[str, State]], ledgers: Sequence[Ledger]) -> int:
    """How many of the ledgers are not as they were."""
    return sum(one != ledger.acknowledged for one, ledger in zip(before, ledgers, strict=True))


def check_after_restart(url: str, ledgers: list[Ledger], query: bytes) -> None:
    with httpx.Client(base_url=url, timeout=30) as api:
        found = every_task(api)
        for ledger in ledgers:
            for task, state in ledger.acknowledged.items():
                if task != ledger.pending:
                    assert found.get(task) == state
        known = {task for ledger in ledgers for task in ledger.acknowledged}
        unanswered = [ledger.pending for ledger in ledgers if ledger.pending]
        surprises = found.keys() - known
        assert len(surprises) <= unanswered.count("new")
        for task in [*surprises, *(task for task in unanswered if task in found), *list(found)[:3]]:
            check_whole(api, found[task], query)
        # What the server has now is where every writer goes on from.
        for ledger in ledgers:
            ledger.pending = None
            ledger.acknowledged = {task: found.get(task) for task in ledger.acknowledged}
        ledgers[0].acknowledged |= {task: found[task] for task in surprises}


def every_task(api: httpx.Client) -> dict[str, State]:
    tasks: dict[str, State] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = api.get("/v1/tasks", params={"limit": 1000, **({"cursor": cursor} if cursor else {})}).json()
        tasks |= {task["id"]: task for task in page["tasks"]}
        cursor = page["next_cursor"]
    return tasks


def check_whole(api: httpx.Client, task: State, query: bytes) -> None:
    """Nothing half there: examples, images, head and history of a task belong together."""
    assert task is not None
    path = f"/v1/tasks/{task['id']}"
    examples = api.get(f"{path}/examples", params={"limit": 1000}).json()["examples"]
    assert len(examples) == sum(c["examples"] for c in task["classes"])
    for example in examples:
        assert len(api.get(f"{path}/examples/{example['id']}/image").content) == example["bytes"]
    versions = [version["version"] for version in api.get(f"{path}/versions").json()["versions"]]
    assert versions == list(range(len(versions), 0, -1))
    assert predict(api, task["id"], [query])[0]["scores"].keys() == {c["label"] for c in task["classes"]}


@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_every_acknowledged_change_survives_sigkill(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, queries: Labelled, kills: int
) -> None:
    rng = random.Random(1)
    ledgers = [Ledger() for _ in range(WRITERS)]
    changes = 0
    for _ in range(kills):
        with ServerProcess(tmp_path / "data", *small_flags) as process:
            check_after_restart(process.url, ledgers, queries[0][1])
            before = [dict(ledger.acknowledged) for ledger in ledgers]
            with ThreadPoolExecutor(WRITERS) as pool:
                writers = [
                    pool.submit(write_until_killed, process.url, support, ledger, random.Random(rng.random()))
                    for ledger in ledgers
                ]
                deadline = time.monotonic() + 30
                while changed(before, ledgers) < 2 and time.monotonic() < deadline:  # until it is at work, however slow it is
                    time.sleep(0.01)
                time.sleep(rng.uniform(0.0, 0.2))
                process.kill()
                for writer in writers:
                    writer.result()
            changes += changed(before, ledgers)
    with ServerProcess(tmp_path / "data", *small_flags) as process:
        check_after_restart(process.url, ledgers, queries[0][1])
    assert changes > kills  # the kills came in the middle of work, not of idleness
    assert threading.active_count() < 20


@pytest.mark.parametrize("solver", get_args(Solver))
def test_a_task_answers_after_a_restart_as_before(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, queries: Labelled, solver: str
) -> None:
    answers: list[list[dict[str, Any]]] = []
    for _ in range(2):
        with ServerProcess(tmp_path / "data", *small_flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
            if not answers:
                task = create(api, support, options=f'{{"solver": "{solver}"}}')["id"]
            answers.append(predict(api, task, [image for _, image in queries[:8]]))
    for before, after in zip(*answers, strict=True):
        assert after["scores"] == pytest.approx(before["scores"], abs=1e-6)
