"""How far is scoring on Ray Data from `headstart score`, on one machine? Files to Parquet, by one task, in turns.

    python -m benchmarks.score_ray photographs.zip --json score_ray.json

In each round the same files are scored by `headstart score`, from when its engine is open to the end. Then Ray scores a sixth of
them, and all of them, each time by processes that are started anew: an actor for each core, or one actor whose engine has all
cores. The rate is that of the further images, between the two. What is left of the first is Ray's start, which a job pays once.

Rates are told by the clock, by the processor time of all processes, and by that of the steps alone. Ray's driver and its daemons
look around all the time. So on a machine that others use they take more of the processor for each image, and the steps do not.
"""

import os
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import psutil
import ray
import ray.data

from benchmarks.score import copied, task_of
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import Rates
from models.answers.classifier import Classifier
from models.bundle import DEFAULT_BUNDLE, SHIPPED, find_bundles, open_bundle
from models.engine import open_engine
from models.processor import available_cores
from scoring.embed import Backbone
from scoring.on_ray import score
from scoring.run import Scoring
from scoring.run import score as score_here

_HERE, _CORES = "headstart score", available_cores()
_ON_RAY: Mapping[str, Mapping[str, Any]] = {
    "Ray, an actor a core": {"compute": ray.data.ActorPoolStrategy(size=_CORES)},
    "Ray, one actor": {"num_cpus": _CORES, "compute": ray.data.ActorPoolStrategy(size=1)},
}
_OTHER_TASKS = 2  # CPUs for reading, decoding apart from an engine, heads and writing; these mostly wait
_PART = 6  # of the files, a part is scored first
_PATIENCE = 600  # seconds for actors to start
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_LOOK = 0.05  # seconds from one look at the processes to the next


@dataclass(frozen=True)
class Cost:
    """Of some work: seconds by the clock, of processor time, and of that what is not Ray's own."""

    clock: float
    processor: float
    steps: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.clock - other.clock, self.processor - other.processor, self.steps - other.steps)

    def __mul__(self, times: float) -> "Cost":
        return Cost(self.clock * times, self.processor * times, self.steps * times)


_CLOCKS: Mapping[str, Callable[[Cost], float]] = {
    "images a second": lambda cost: cost.clock,
    "images a second of processor time": lambda cost: cost.processor,
    "the same, of the steps alone": lambda cost: cost.steps,
}


def main() -> None:
    parser = benchmark_parser("score_ray", __doc__, rounds=5)
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="as of `headstart score`")
    parser.add_argument("--images", type=int, default=2000, help="images of a round (default %(default)s)")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="backbone (default %(default)s)")
    arguments = parser.parse_args()
    bundle = open_bundle(find_bundles(SHIPPED)[arguments.bundle])
    backbone = Backbone(bundle, open_engine(bundle, "onnx"))
    costs: dict[str, list[Cost]] = {name: [] for name in (_HERE, *_ON_RAY)}
    starts: dict[str, list[float]] = {name: [] for name in _ON_RAY}
    with tempfile.TemporaryDirectory() as folder, _session():
        pieces = copied(arguments.sources, arguments.images * arguments.rounds, arguments.rounds, Path(folder))
        task = task_of(backbone, [*pieces[0].iterdir()])
        for piece in pieces:
            costs[_HERE].append(_here(piece, task))
            for name, engines in _ON_RAY.items():
                few = _on_ray(_few(piece), task, engines, piece.with_name(f"{piece.name} few {name}"))
                further = _on_ray(piece, task, engines, piece.with_name(f"{piece.name} {name}")) - few
                costs[name].append(further * (_PART / (_PART - 1)))
                starts[name].append(few.clock - further.clock / (_PART - 1))
    print(f"{arguments.bundle}, {arguments.rounds} rounds of {arguments.images} images, {_CORES} cores")
    figures = {told: _told(told, costs, arguments.images, of) for told, of in _CLOCKS.items()}
    for name, seconds in starts.items():
        print(f"{name}: starts in {median(seconds):.1f} s")
    write_json(arguments.json, {"bundle": arguments.bundle, "images": arguments.images, "rates": figures, "starts": starts})


def _told(
    told: str, costs: Mapping[str, Sequence[Cost]], images: int, of: Callable[[Cost], float]
) -> Mapping[str, Sequence[float]]:
    rates = Rates({name: [images / of(cost) for cost in several] for name, several in costs.items()})
    print(f"{told}, and beside {_HERE}")
    for name in rates.rounds:
        print(f"{name:<24}{rates.median(name):>8.1f}  {rates.ratio(name, _HERE)}")
    return rates.rounds


@contextmanager
def _session() -> Iterator[None]:
    """Ray on this machine, which tells nobody that it runs."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, settings))
        stack.enter_context(
            warnings.catch_warnings(action="ignore", category=UserWarning)
        )  # few files are too few for all actors
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", dir="/tmp"))  # paths of sockets must be short
        ray.init(num_cpus=_CORES + _OTHER_TASKS, include_dashboard=False, logging_level="ERROR", _temp_dir=folder)
        stack.callback(ray.shutdown)
        context = ray.data.DataContext.get_current()
        stack.enter_context(patch.object(context, "wait_for_min_actors_s", _PATIENCE))  # so that each start has all of them
        yield


def _here(piece: Path, task: Classifier) -> Cost:
    began: list[Cost] = []

    def now() -> Cost:
        return Cost(time.perf_counter(), time.process_time(), time.process_time())

    score_here(Scoring([str(piece)], [task], piece.with_suffix(".parquet"), 5, None, None), lambda *_: began.append(now()))
    return now() - began[0]


def _on_ray(files: Path, task: Classifier, engines: Mapping[str, Any], out: Path) -> Cost:
    with _Watch() as watch:
        scores = score(ray.data.read_binary_files(str(files), include_paths=True), [task], **engines)
        scores.write_parquet(str(out))
    told = re.findall(r"Remote cpu time: .*, ([\d.]+)(us|ms|s) total", scores.stats())
    return Cost(watch.clock, watch.processor, sum(float(time) * _UNITS[unit] for time, unit in told))


def _few(piece: Path) -> Path:
    """Returns a folder of a part of the files."""
    folder = piece.with_name(f"{piece.name} few")
    if not folder.exists():
        folder.mkdir()
        files = [*piece.iterdir()]
        for file in files[: len(files) // _PART]:
            os.link(file, folder / file.name)
    return folder


class _Watch:
    """Counts what this process and all that it started take, also those that end meanwhile.

    Attributes:
        clock, processor: seconds.
    """

    def __enter__(self) -> "_Watch":
        self._last: dict[tuple[int, float], float] = {}
        self._over = threading.Event()
        self._look()
        self._began = time.perf_counter(), self._processor()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self.clock, self.processor = time.perf_counter() - self._began[0], self._processor() - self._began[1]

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            self._look()

    def _look(self) -> None:
        for each in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                times = each.cpu_times()
                self._last[each.pid, each.create_time()] = times.user + times.system

    def _processor(self) -> float:
        return time.process_time() + sum(self._last.values())


if __name__ == "__main__":
    main()
