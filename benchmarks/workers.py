"""Does a server grow with its workers? Requests a second and processor time by the number of workers, and the memory of each.

    python -m benchmarks.workers --json workers.json

The first table has an engine that costs nothing, so that it shows what the server itself costs: one raw image of 32 x 32 pixels a
request, and for comparison a request that workers pass on to the owner. What limits the server would show as processor time that
grows with the number of workers, or as cores that stay idle. The second table has the shipped bundles as they are. The turns of a
table go round, and its figures are medians. The last lines carry the figures over to larger machines, on paper.

With `--shared` each number of workers from 2 on is there twice, also with one engine for all (`--shared-engine`).
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
import psutil

from benchmarks.server_process import ServerProcess
from benchmarks.serving.free_server import FreeServer
from benchmarks.serving.load import LoadGenerator, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, sample_images, support_set
from models.bundle import DEFAULT_BUNDLE, PAPER_BUNDLE
from models.processor import available_cores

_CONNECTIONS = 8  # for each worker, so that each has some: the kernel deals them out by chance
_WARM = 200
_MACHINES = (16, 64)


@dataclass(frozen=True)
class Turn:
    """One load on one server.

    Attributes:
        rate: requests a second.
        processor: milliseconds of processor time a request, of all processes of the server.
        owner: the owner's part of them; all of it where there is one process.
        device: the part of the process that runs the engine of all; 0 without one.
        cores: that server and generator kept busy.
    """

    rate: float
    processor: float
    owner: float
    device: float
    cores: float


class Server:
    """A server with so many workers, which may share their engine, and its load."""

    def __init__(self, process: ServerProcess, workers: int, shared: bool, load: LoadGenerator) -> None:
        self.name = f"{workers} shared" if shared else str(workers)
        self._workers = workers
        self._shared = shared
        self._process = process
        self._load = load
        with httpx.Client(base_url=process.url, timeout=60) as api:
            task = create_task(api, support_set())
        self._requests = {
            "answered": post_images(f"{task}/predict?unknown=ignore", sample_images()),
            "passed on": [f"GET {task} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()],
        }

    def turn(self, kind: str, count: int) -> Turn:
        """Sends so many requests of a kind."""
        before, started = self._processor(), time.perf_counter()
        outcome = self._load.closed(self._requests[kind], _CONNECTIONS * self._workers, count)
        seconds, after = time.perf_counter() - started, self._processor()
        if outcome.count(200) != count:
            sys.exit(f"some of {count} requests failed")
        spent = [now - then for now, then in zip(after, before, strict=True)]
        whole = sum(spent)
        owner = spent[1 + self._shared] if len(spent) > 1 else whole
        device = spent[1] if self._shared else 0.0
        cores = whole / seconds + outcome.cores
        return Turn(count / outcome.seconds, 1e3 * whole / count, 1e3 * owner / count, 1e3 * device / count, cores)

    def memory(self) -> tuple[float, float]:
        """Returns the megabytes of all processes together, and of one worker. What they share is divided among them."""
        each = [process.memory_full_info().pss / 1e6 for process in self._processes()]
        return sum(each), each[-1]

    def _processor(self) -> list[float]:
        """Returns the seconds of processor time of each process, in the order in which they were started."""
        return [sum(process.cpu_times()[:2]) for process in self._processes()]

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self._process.process.pid)
        return [first, *sorted(first.children(), key=psutil.Process.create_time)]


def main() -> None:
    parser = benchmark_parser("workers", __doc__, rounds=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="(default: %(default)s)")
    parser.add_argument("--shared", action="store_true", help="also with workers that share an engine")
    parser.add_argument("--engine", default="onnx", help="of the bundles (default %(default)s)")
    parser.add_argument("--requests", type=int, default=2000, help="of a turn with the free engine (default %(default)s)")
    parser.add_argument("--images", type=int, default=200, help="of a turn with a bundle (default %(default)s)")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        free = _free(arguments, Path(folder))
        real = _real(arguments, Path(folder))
    on_paper = _print_larger_machines(free, str(max(arguments.workers)))
    write_json(arguments.json, {"free": free, "bundles": real, "on_paper": on_paper})


def _free(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    kinds = ("answered", "passed on")
    with ExitStack() as opened:
        asked = _settings(arguments.workers, arguments.shared)
        servers = [opened.enter_context(_running(FreeServer, folder, *each, PAPER_BUNDLE)) for each in asked]
        turns = _turns(servers, kinds, arguments.requests, arguments.rounds)
    for kind in kinds:
        print(f"\nengine that costs nothing; requests are {kind} by the workers")
        _print(turns[kind])
    return {kind: {name: _summary(each) for name, each in turns[kind].items()} for kind in kinds}


def _real(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    found = {}
    asked = _settings([each for each in arguments.workers if each <= 2 * available_cores()], arguments.shared)
    for bundle in (PAPER_BUNDLE, DEFAULT_BUNDLE):
        with ExitStack() as opened:
            servers = [opened.enter_context(_running(ServerProcess, folder, *each, bundle, arguments.engine)) for each in asked]
            turns = _turns(servers, ("answered",), arguments.images, arguments.rounds)["answered"]
            memory = {server.name: server.memory() for server in servers}
        print(f"\n{bundle}, one image a request, {available_cores()} cores")
        _print(turns, memory)
        found[bundle] = {
            name: {**_summary(each), "megabytes": memory[name][0], "megabytes_of_worker": memory[name][1]}
            for name, each in turns.items()
        }
    return found


def _settings(workers: Sequence[int], shared: bool) -> list[tuple[int, bool]]:
    """Returns the numbers of workers, each with whether they share an engine."""
    return [(each, shares) for each in workers for shares in ((False, True) if shared and each > 1 else (False,))]


@contextmanager
def _running(
    kind: type[ServerProcess], folder: Path, workers: int, shared: bool, bundle: str, engine: str = "onnx"
) -> Iterator[Server]:
    data = folder / f"{kind.__name__}-{bundle}-{workers}-{shared}"
    flags = ("--workers", str(workers), "--engine", engine, "--shared-engine" if shared else "--no-shared-engine")
    with kind(data, *flags, bundle=bundle) as process, LoadGenerator(process.url) as load:
        yield Server(process, workers, shared, load)


def _turns(servers: Sequence[Server], kinds: Sequence[str], count: int, rounds: int) -> dict[str, dict[str, list[Turn]]]:
    turns: dict[str, dict[str, list[Turn]]] = {kind: {server.name: [] for server in servers} for kind in kinds}
    for server, kind in product(servers, kinds):
        server.turn(kind, min(count, _WARM))
    for _ in range(rounds):
        for server, kind in product(servers, kinds):
            turns[kind][server.name].append(server.turn(kind, count))
    return turns


def _summary(turns: Sequence[Turn]) -> dict[str, float]:
    each = [asdict(turn) for turn in turns]
    return {name: median(turn[name] for turn in each) for name in each[0]}


def _print(turns: Mapping[str, Sequence[Turn]], memory: Mapping[str, tuple[float, float]] | None = None) -> None:
    more = f"{'MB':>8}{'a worker':>10}" if memory else ""
    print(f"{'workers':>9}{'requests/s':>12}{'CPU, ms':>9}{'owner, ms':>11}{'device, ms':>12}{'cores busy':>12}{more}")
    for name, each in turns.items():
        row = _summary(each)
        used = f"{memory[name][0]:>8.0f}{memory[name][1]:>10.0f}" if memory else ""
        parts = f"{row['processor']:>9.3f}{row['owner']:>11.3f}{row['device']:>12.3f}"
        print(f"{name:>9}{row['rate']:>12.0f}{parts}{row['cores']:>12.2f}{used}")


def _print_larger_machines(free: Mapping[str, Mapping[str, Mapping[str, float]]], most: str) -> dict[int, dict[str, float]]:
    """Prints what larger machines would serve with an engine that costs nothing.

    It assumes that a request's processor time stays as it was with the most workers here, that half the cores have a worker each,
    which keeps one core busy, and that the owner is one event loop.
    """
    answered, passed = free["answered"][most]["processor"], free["passed on"][most]["owner"]
    found = {}
    print("\non paper, with half as many workers as cores")
    for cores in _MACHINES:
        workers = cores // 2
        found[cores] = {"answered": 1e3 * workers / answered, "passed_on": 1e3 / passed}
        print(f"{cores} cores: {found[cores]['answered']:.0f} predictions/s; the owner answers {found[cores]['passed_on']:.0f}/s")
    return found


if __name__ == "__main__":
    main()
