"""Does it matter how many tasks there are? Predictions for one task and for 10,000, creation and start-up with many stored.

    python -m benchmarks.scale --json scale.json

The stored tasks are copies, made in the database, of one that was created over HTTP. Servers run one at a time.
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median

import httpx

from benchmarks.server_process import ServerProcess
from benchmarks.serving.filled import filled
from benchmarks.serving.load import LoadGenerator, post
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, resident, sample_images, support_set
from benchmarks.shared.turns import race

_CONNECTIONS = 64
_STARTS = 3
_CREATIONS = 20


def main() -> None:
    parser = benchmark_parser("scale", __doc__, rounds=5, seconds=3.0)
    parser.add_argument("--active", type=int, default=10_000, help="tasks that are asked for (default %(default)s)")
    parser.add_argument("--stored", type=int, nargs="+", default=[0, 10_000, 100_000], help="(default %(default)s)")
    arguments = parser.parse_args()
    active = _active(arguments)
    stored = [_stored(count) for count in arguments.stored]
    write_json(arguments.json, {"active": active, "stored": stored})


def _active(arguments: argparse.Namespace) -> dict[str, float]:
    """Throughput with one task and with many, and what each costs in memory."""
    with filled(arguments.active) as (data_dir, ids), ServerProcess(data_dir) as server, LoadGenerator(server.url) as load:
        images = sample_images()
        one = [post(f"/v1/tasks/{ids[0]}/predict", image, "image/png") for image in images]
        pick = random.Random(0)  # noqa: S311
        order = pick.sample(ids, len(ids))
        plain, many = (
            [post(f"/v1/tasks/{id_}/predict{query}", pick.choice(images), "image/png") for id_ in order]
            for query in ("?unknown=ignore", "")
        )
        _answered(load, one, 1000)
        before = resident(server.process.pid)
        _answered(load, plain, len(plain))  # each once
        heads = resident(server.process.pid)
        _answered(load, many, len(many))
        of_head, of_support = (heads - before) / len(ids), (resident(server.process.pid) - heads) / len(ids)
        rates = race(
            {
                "one": lambda count: _answered(load, one, count),
                "many": lambda count: _answered(load, pick.choices(many, k=count), count),
            },
            arguments.rounds,
            arguments.seconds,
        )
    ratio = rates.ratio("many", "one")
    print(f"{len(ids):,} tasks drawn at random: {ratio} of one task's throughput")
    print(f"{of_head / 1000:.1f} KB of resident memory for each active task's head, {of_support / 1000:.1f} for its support set")
    return {"tasks": len(ids), **asdict(ratio), "bytes_per_head": of_head, "bytes_per_support_set": of_support}


def _answered(load: LoadGenerator, requests: Sequence[bytes], count: int) -> int:
    asked = max(count, _CONNECTIONS)
    if (answered := load.closed(requests, _CONNECTIONS, asked).count(200)) != asked:
        raise SystemExit(f"{asked - answered} of {asked} requests failed")
    return answered


def _stored(count: int) -> dict[str, float]:
    """Start-up and creation with that many tasks in the database."""
    starts, seconds = [], []
    with filled(count) as (data_dir, _):
        for _ in range(_STARTS):
            began = time.perf_counter()
            with ServerProcess(data_dir) as server:
                starts.append(time.perf_counter() - began)
                with httpx.Client(base_url=server.url, timeout=60) as api:
                    support = support_set()
                    create_task(api, support)
                    for _ in range(_CREATIONS):
                        began = time.perf_counter()
                        create_task(api, support)
                        seconds.append(time.perf_counter() - began)
    start_up, creation = median(starts), median(seconds)
    print(f"{count:>8,} stored: ready after {start_up:.2f} s, {1e3 * creation:.1f} ms per creation", flush=True)
    return {"stored": count, "start_up": start_up, "creation": creation}


if __name__ == "__main__":
    main()
