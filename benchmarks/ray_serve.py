"""What does the application on Ray Serve cost beside plain servers?

    python -m benchmarks.ray_serve --json ray_serve.json

Plain servers and replicas of the application take turns in one run, as many of each, both on a PostgreSQL. One engine costs
nothing and takes pixels for embeddings, and one is int8 on the CPU. Each request asks a task about one image of 32 x 32 pixels.
Their programs share the cores of this machine, so the processor time of a prediction says more than the rate.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
import psutil

from benchmarks.postgres_server import PostgresServer
from benchmarks.ray_process import RayProcess
from benchmarks.server_process import ServerProcess
from benchmarks.serving.free_server import FreeServer
from benchmarks.serving.load import LoadGenerator, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, processor_seconds, sample_images, support_set

_CONNECTIONS = 8  # to each server, and as many for each replica
_TASKS = 8
_WARM = 200
_HOOK = "benchmarks.serving.free_engine.install"
_PARTS = {"Api": "ServeReplica:headstart:Api", "Engines": "ServeReplica:headstart:Engines", "proxy": "ProxyActor"}


class _Contestant:
    """Servers, or an application, with the load on them.

    Args:
        processes: those that count, with their children.
        urls: where they listen.
        connections: to each.
    """

    def __init__(self, processes: Sequence[int], urls: Sequence[str], connections: int, opened: ExitStack) -> None:
        self._processes = processes
        self._loads = [opened.enter_context(LoadGenerator(url)) for url in urls]
        self._connections = connections
        images = sample_images()
        with httpx.Client(base_url=urls[0], timeout=60) as api:
            tasks = [create_task(api, support_set(1)) for _ in range(_TASKS)]
        self._pool = opened.enter_context(ThreadPoolExecutor(len(urls)))
        self._requests = [request for task in tasks for request in post_images(f"{task}/predict", images)]

    def turn(self, count: int) -> dict[str, float]:
        """Sends so many requests. Returns milliseconds of processor time a request by part, and `rate`, requests a second."""
        before, began = self._seconds(), time.perf_counter()
        each = count // len(self._loads)
        for answered in self._pool.map(lambda load: load.closed(self._requests, self._connections, each), self._loads):
            if answered.count(200) != each:
                sys.exit(f"some of {each} requests failed")
        taken, after = time.perf_counter() - began, self._seconds()
        requests = each * len(self._loads)
        return {"rate": requests / taken} | {part: 1e3 * (after[part] - before.get(part, 0.0)) / requests for part in after}

    def idle(self, seconds: float) -> float:
        """Asks nothing for so long. Returns milliseconds of processor time a second."""
        before = sum(self._seconds().values())
        time.sleep(seconds)
        return 1e3 * (sum(self._seconds().values()) - before) / seconds

    def _seconds(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for first in map(psutil.Process, self._processes):
            for process in (first, *first.children(recursive=True)):
                try:
                    command, seconds = " ".join(process.cmdline()), processor_seconds(process.pid)
                except (psutil.NoSuchProcess, FileNotFoundError):
                    continue
                part = next((part for part, name in _PARTS.items() if name in command), "rest")
                found[part] = found.get(part, 0.0) + seconds
        return found


def _compare(engine: str, count: int, arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Returns the figures of both with so many replicas: medians over the rounds."""
    free = engine == "free"
    kind = "onnx" if free else engine
    with ExitStack() as opened:
        database = opened.enter_context(PostgresServer())
        with database.connect() as connection:
            for name in ("plain", "ray"):
                connection.execute(f"CREATE DATABASE {name}".encode())
        flags = ("--engine", kind, "--workers", "1", "--threads", "1", "--database-url", database.url("plain"))
        servers = [
            opened.enter_context((FreeServer if free else ServerProcess)(folder / f"{engine}-{count}-{number}", *flags))
            for number in range(count)
        ]
        application = opened.enter_context(
            RayProcess(
                folder / f"{engine}-{count}-ray",
                hook=_HOOK if free else None,
                replicas={"Api": {"num_replicas": count}, "Engines": {"num_replicas": count}},
                engine=kind,
                database_url=database.url("ray"),
            )
        )
        contestants = {
            "plain": _Contestant([each.process.pid for each in servers], [each.url for each in servers], _CONNECTIONS, opened),
            "ray": _Contestant([application.process.pid], [application.url], _CONNECTIONS * count, opened),
        }
        for contestant in contestants.values():
            contestant.turn(min(arguments.requests, _WARM))
        turns = [{name: each.turn(arguments.requests) for name, each in contestants.items()} for _ in range(arguments.rounds)]
        found = {name: {part: median(turn[name][part] for turn in turns) for part in turns[0][name]} for name in contestants}
        for name, contestant in contestants.items():
            found[name]["idle"] = contestant.idle(arguments.seconds)
    return found


def main() -> None:
    parser = benchmark_parser("ray_serve", __doc__, rounds=5, seconds=5.0)
    parser.add_argument("--requests", type=int, default=800, help="of a turn (default %(default)s)")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2], help="(default %(default)s)")
    parser.add_argument("--engines", nargs="+", default=["free", "onnx-int8"], help="free costs nothing (default %(default)s)")
    arguments = parser.parse_args()
    found = {}
    print(f"{'engine':<10}{'':<6}{'replicas':>8}{'a second':>10}{'ms':>8}{'idle ms/s':>11}  of which")
    with TemporaryDirectory(prefix="headstart-ray-") as folder:
        for engine in arguments.engines:
            for count in arguments.replicas:
                for name, figures in _compare(engine, count, arguments, Path(folder)).items():
                    parts = {part: ms for part, ms in figures.items() if part not in {"rate", "idle"}}
                    found[f"{engine} {name} {count}"] = figures
                    shown = f"{figures['rate']:>10.0f}{sum(parts.values()):>8.2f}{figures['idle']:>11.0f}"
                    of_which = ", ".join(f"{part} {ms:.2f}" for part, ms in sorted(parts.items()))
                    print(f"{engine:<10}{name:<6}{count:>8}{shown}  {of_which}", flush=True)
    write_json(arguments.json, found)


if __name__ == "__main__":
    main()
