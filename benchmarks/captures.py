"""What do captures cost? Predictions that are captured beside others, the review queue of 10,000, and 500 decisions at once.

    python -m benchmarks.captures --json captures.json

A server runs as the README starts it. Three tasks of 25 sample images differ in what they capture: nothing, all, and all at a
limit that is reached, so that each capture removes another. Clients in a closed loop ask them in turns. After each turn the
server stores what waits, and its processor time counts until then. Ratios are medians over the rounds. The captures of the
review queue are made in the database, around 300 centres.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, processor_seconds, sample_images, support_set
from server.ids import new_id
from server.store.capture_records import Answered, NewCapture
from server.store.records import TaskKey
from server.store.store import Store, sqlite_url

_SETTINGS: dict[str, dict[str, Any]] = {
    "none": {"keep": "none"},
    "all": {"keep": "all", "limit": 10_000},
    "all, at the limit": {"keep": "all", "limit": 100},
}
_CONNECTIONS = 8
_CENTRES, _SPREAD = 300, 0.5
_REPEATS = 5
_TENANT = "default"

Cost = tuple[float, float]
"""Milliseconds of a request, and of the server's processor time."""

Turn = dict[str, float]
"""Images a second, and milliseconds of the server's processor time for each."""


def main() -> None:
    parser = benchmark_parser("captures", __doc__, rounds=7, seconds=6.0)
    parser.add_argument("--captures", type=int, default=10_000, help="in the review queue (default %(default)s)")
    parser.add_argument("--decisions", type=int, default=500, help="at once (default %(default)s)")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        turns = _predictions(data_dir, arguments.rounds, arguments.seconds)
        print(f"{'keep':<20}{'images/s':>10}{'of none':>9}{'(least, most)':>16}{'CPU, ms':>9}{'of none':>9}")
        rows = [_row(keep, turns) for keep in turns]
        task = _filled(data_dir, arguments.captures)
        queue, resolved = _review(data_dir, task, arguments.decisions)
    for what, (taken, spent) in {**queue, f"{arguments.decisions} decisions, one version": resolved}.items():
        print(f"{what}: {taken:.0f} ms, {spent:.0f} ms of processor time")
    write_json(arguments.json, {"predictions": rows, "queue_ms": queue, "resolve_ms": resolved})


def _predictions(data_dir: Path, rounds: int, seconds: float) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {keep: [] for keep in _SETTINGS}
    with (
        ServerProcess(data_dir) as server,
        LoadGenerator(server.url) as load,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        requests = {}
        for keep, setting in _SETTINGS.items():
            path = create_task(api, support_set())
            api.patch(path, json={"capture": setting}).raise_for_status()
            requests[keep] = post_images(f"{path}/predict", sample_images())
            load.closed(requests[keep], _CONNECTIONS, 200)  # warms up, and reaches the limit
        count = 200
        while (taken := load.closed(requests["none"], _CONNECTIONS, count).seconds) < seconds / 4:
            count *= 2
        count = max(_CONNECTIONS, round(count * seconds / taken))
        for _ in range(rounds):
            for keep in _SETTINGS:
                _settle(api)
                before = processor_seconds(server.process.pid)
                outcome = load.closed(requests[keep], _CONNECTIONS, count)
                _settle(api)
                spent = processor_seconds(server.process.pid) - before
                turns[keep].append({"rate": count / outcome.seconds, "cpu": 1e3 * spent / count})
        dropped = [line for line in api.get("/metrics").text.splitlines() if line.startswith("headstart_captures_dropped_total")]
        print(f"dropped: {dropped or 'none'}")
    return turns


def _settle(api: httpx.Client) -> None:
    """Waits until the server has stored what waits: it then stores nothing more for a while."""
    before = ""
    while before != (now := _stored(api)):
        before = now
        time.sleep(3.0)  # longer than captures wait for others


def _stored(api: httpx.Client) -> str:
    return next(line for line in api.get("/metrics").text.splitlines() if line.startswith("headstart_captures_total"))


def _row(keep: str, turns: dict[str, list[Turn]]) -> dict[str, Any]:
    ratios = {
        name: [mine[name] / other[name] for mine, other in zip(turns[keep], turns["none"], strict=True)]
        for name in ("rate", "cpu")
    }
    rate, cpu = (median(turn[name] for turn in turns[keep]) for name in ("rate", "cpu"))
    spread = f"({min(ratios['rate']):.2f}, {max(ratios['rate']):.2f})"
    print(f"{keep:<20}{rate:>10.0f}{median(ratios['rate']):>9.2f}{spread:>16}{cpu:>9.2f}{median(ratios['cpu']):>9.2f}")
    return {"keep": keep, "rate": rate, "cpu_ms": cpu, "ratios": ratios}


def _filled(data_dir: Path, count: int) -> TaskKey:
    """A new task with so many captures, whose embeddings lie around centres."""
    with ServerProcess(data_dir) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        task = create_task(api, support_set()).rpartition("/")[2]
        api.patch(f"/v1/tasks/{task}", json={"capture": {"limit": 10_000}}).raise_for_status()
    key = TaskKey(_TENANT, task)
    random = np.random.default_rng(0)
    with closing(Store.open(sqlite_url(data_dir))) as store:
        active = store.active.get(key)
        scale = store.examples.support(key, active.version).embeddings
        centres = scale.mean(axis=0) + scale.std(axis=0) * random.standard_normal((_CENTRES, scale.shape[1]), np.float32)
        answered, now = Answered("fish", 0.4, True, 0.3), datetime.now(UTC)
        image = sample_images()[0]
        taken: list[NewCapture] = []
        for number in range(count):
            grain = _SPREAD * scale.std(axis=0) * random.standard_normal(scale.shape[1], np.float32)
            embedding = centres[number % _CENTRES] + grain
            taken.append(NewCapture(new_id("prediction"), key, 1, active.backbone.sha256, image, embedding, answered, now))
        for start in range(0, count, 500):
            store.captures.add(taken[start : start + 500], keep_images=True)
    return key


def _review(data_dir: Path, key: TaskKey, decisions: int) -> tuple[dict[str, Cost], Cost]:
    """Returns the cost of a page of the queue, by its name, and of deciding about so many captures."""
    path = f"/v1/tasks/{key.id}/captures"
    with ServerProcess(data_dir) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        queue = {}
        for order in ("most-useful", "newest", "unknown"):
            api.get(path, params={"order": order}).raise_for_status()
            costs = [_cost(server, api, "GET", path, params={"order": order}) for _ in range(_REPEATS)]
            queue[f"a page of the queue, {order}"] = _median(costs)
        costs = []
        for _ in range(_REPEATS):
            ids: list[str] = []
            after: dict[str, str] = {}
            while len(ids) < decisions:
                page = api.get(path, params={"order": "newest", "limit": 100, **after}).raise_for_status().json()
                ids += [id_ for entry in page["captures"] for id_ in (entry["id"], *entry["alike"])]
                if page["next_cursor"] is None:
                    break
                after = {"after": page["next_cursor"]}
            decided = [{"captures": ids[:decisions][k::5], "label": f"class {k}"} for k in range(5)]
            costs.append(_cost(server, api, "POST", f"{path}/resolve", json={"decisions": decided}))
    return queue, _median(costs)


def _median(costs: Sequence[Cost]) -> Cost:
    return median(taken for taken, _ in costs), median(spent for _, spent in costs)


def _cost(server: ServerProcess, api: httpx.Client, method: str, path: str, **parts: Any) -> Cost:
    spent, started = processor_seconds(server.process.pid), time.perf_counter()
    api.request(method, path, **parts).raise_for_status()
    return 1e3 * (time.perf_counter() - started), 1e3 * (processor_seconds(server.process.pid) - spent)


if __name__ == "__main__":
    main()
