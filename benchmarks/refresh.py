"""What does moving live tasks onto another bundle cost their users meanwhile, and what do the tasks gain?

    python -m benchmarks.refresh --from bundles/quick/1 --data part0.zip part1.zip part2.zip --json refresh.json

Tasks of novel classes are created over HTTP on the first bundle, of several ways and shots. They get requests at a steady rate
before, during and after the refresh, each task always about the same image. Each answer is compared with the prediction of the
version that it names. Each task recognises held-out images before and after.
"""

import argparse
import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.accuracy.novel_classes import interval
from benchmarks.bundles import twin_of
from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, Outcome, Reply, post
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import creation, paper_bundle, sample_images
from models.bundle import SHIPPED, find_bundles, open_bundle
from training.data.class_split import read_split
from training.data.loading import load_images, read_originals
from training.evaluation.episodes import EpisodeSampler

# Ways, shots, and the share of the tasks that are of them.
_KINDS = ((5, 5, 0.4), (5, 1, 0.2), (10, 5, 0.2), (2, 10, 0.2))
_QUERIES = 5
_CONNECTIONS = 64
_SLICE_SECONDS = 2.0
_TOLERANCE = 1e-4


@dataclass(eq=False)
class LiveTask:
    """A task, its held-out images, and the predictions of each of its versions for the image of the requests.

    Attributes:
        kind: ways and shots.
        answers: by version, the backbone and the probability of the label.
    """

    path: str
    kind: tuple[int, int]
    queries: list[tuple[str, bytes]]
    answers: dict[int, tuple[str, float]]
    before: float = math.nan
    after: float = math.nan


@dataclass(frozen=True)
class Waits:
    """Milliseconds of the median and the 99th percentile under a steady load, and what went wrong."""

    requests: int
    failed: int
    p50: float
    p99: float


def main() -> None:
    arguments = _parser().parse_args()
    with (
        TemporaryDirectory() as folder,
        _server(arguments, Path(folder)) as (server, origin, target),
        httpx.Client(base_url=server.url, timeout=120) as api,
        LoadGenerator(server.url) as load,
    ):
        _open(api, target, origin)
        rate = arguments.rate or 0.5 * _capacity(api, load, (origin, target))
        tasks = _create(api, arguments)
        print(f"{len(tasks)} tasks on {origin}, asked {rate:.0f} times a second", flush=True)
        _try_out(api, tasks, "before")
        requests = [post(f"{task.path}/predict", task.queries[0][1], "image/png") for task in tasks]

        def ask(seconds: float) -> Outcome:
            return load.open(requests, _CONNECTIONS, rate, seconds, keep_bodies=True)

        replies = {"before": list(ask(arguments.seconds).replies)}
        began = time.perf_counter()
        refresh, replies["during"] = _refresh(api, target, arguments.max_drop, ask)
        taken = time.perf_counter() - began
        replies["after"] = list(ask(arguments.seconds).replies)
        _try_out(api, tasks, "after")
    waits = {when: _waits(some) for when, some in replies.items()}
    wrong = {when: _wrong(tasks, some) for when, some in replies.items()}
    _tell_load(waits, wrong)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in refresh["tasks"].items())
    print(f"refresh {refresh['state']} in {taken:.1f} s: {outcomes}")
    print(f"{len(tasks) / taken:.1f} tasks, {refresh['images']['done'] / taken:.0f} images a second", flush=True)
    write_json(
        arguments.json,
        {
            "from": origin,
            "to": target,
            "rate": rate,
            "seconds": taken,
            "refresh": refresh,
            "waits": {when: asdict(some) for when, some in waits.items()},
            "wrong": wrong,
            "accuracy": _tell_accuracy(tasks),
        },
    )


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("refresh", __doc__, seconds=20.0)
    shipped = paper_bundle().path
    parser.add_argument(
        "--from", type=Path, default=shipped, metavar="BUNDLE", dest="origin", help="the tasks' bundle (default: the shipped one)"
    )
    targets = parser.add_mutually_exclusive_group()
    targets.add_argument("--to", type=Path, default=shipped, metavar="BUNDLE", help="default: the shipped one")
    targets.add_argument("--twin", action="store_true", help="move to a copy of the first bundle, which costs what that costs")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="ZIP", help="CIFAR-100 as class folders")
    parser.add_argument("--split", default="cifar-fs", help="default %(default)s")
    parser.add_argument("--tasks", type=int, default=500, help="default %(default)s")
    parser.add_argument("--rate", type=float, help="requests a second (default: half of what the slower bundle answers)")
    parser.add_argument("--max-drop", type=float, default=0.02, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="seed of the tasks (default %(default)s)")
    return parser


@contextmanager
def _server(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[ServerProcess, str, str]]:
    """Starts a server whose new tasks are on the first bundle, and yields it with both bundles' ids."""
    bundles = folder / "bundles"
    ids = []
    target = twin_of(arguments.origin, folder) if arguments.twin else arguments.to
    for path in (arguments.origin, target):
        manifest = open_bundle(path).manifest
        ids.append(manifest.id)
        if manifest.id not in find_bundles(SHIPPED):
            shutil.copytree(path, bundles / manifest.name / manifest.version)
    with ServerProcess(folder / "data", "--bundles-dir", str(bundles), "--bundle", ids[0]) as server:
        yield server, ids[0], ids[1]


def _open(api: httpx.Client, *ids: str) -> None:
    """Opens bundles; the last becomes the default."""
    for id_ in ids:
        api.post("/v1/backbones", json={"id": id_}).raise_for_status()
        api.patch(f"/v1/backbones/{id_}", json={"default": True}).raise_for_status()


def _capacity(api: httpx.Client, load: LoadGenerator, ids: tuple[str, str]) -> float:
    """Returns the requests a second that the slower of two bundles answers; the first is the default again afterwards."""
    images, rates = sample_images(), []
    for id_ in reversed(ids):
        _open(api, id_)
        support = [(str(number % 2), image) for number, image in enumerate(images[:10])]
        path = api.post("/v1/tasks", **creation(support)).raise_for_status().headers["location"]
        requests = [post(f"{path}/predict", image, "image/png") for image in images]
        load.closed(requests, _CONNECTIONS, 500)
        outcome = load.closed(requests, _CONNECTIONS, 2000)
        rates.append(outcome.count(200) / outcome.seconds)
        print(f"{id_}: {rates[-1]:.0f} predictions a second at most", flush=True)
        api.delete(path).raise_for_status()
    return min(rates)


def _create(api: httpx.Client, arguments: argparse.Namespace) -> list[LiveTask]:
    novel = load_images(arguments.data, read_split(arguments.split).test, paper_bundle().manifest.input)
    originals = read_originals(arguments.data, novel.sources)
    tasks = []
    for ways, shots, share in _KINDS:
        sampler = EpisodeSampler(novel.indices_by_class(), ways, shots, _QUERIES, arguments.seed)
        for number in range(round(share * arguments.tasks)):
            episode = sampler.episode(number)
            support, queries = (
                [(novel.classes[novel.labels[i]], originals[i]) for i in part.ravel()]
                for part in (episode.support, episode.query)
            )
            created = api.post("/v1/tasks", **creation(support)).raise_for_status()
            tasks.append(LiveTask(created.headers["location"], (ways, shots), queries, {}))
    return tasks


def _try_out(api: httpx.Client, tasks: Sequence[LiveTask], when: str) -> None:
    """Notes each task's accuracy on its held-out images, and its version's prediction for the image of the requests."""
    for task in tasks:
        reply = api.post(f"{task.path}/predict", files=[("images", image) for _, image in task.queries]).raise_for_status().json()
        right = (each["label"] == label for each, (label, _) in zip(reply["predictions"], task.queries, strict=True))
        setattr(task, when, mean(right))
        task.answers[reply["version"]] = reply["backbone"], reply["predictions"][0]["probability"]


def _refresh(
    api: httpx.Client, target: str, max_drop: float, ask: Callable[[float], Outcome]
) -> tuple[dict[str, Any], list[Reply]]:
    """Runs the refresh. Returns its final state, and the replies given meanwhile."""
    begun = api.post("/v1/refreshes", json={"to": target, "max_drop": max_drop}).raise_for_status()
    replies: list[Reply] = []
    while True:
        replies += ask(_SLICE_SECONDS).replies
        refresh: dict[str, Any] = api.get(begun.headers["location"]).raise_for_status().json()
        if refresh["state"] != "running":
            return refresh, replies


def _waits(replies: Sequence[Reply]) -> Waits:
    outcome = Outcome(replies, 0.0, 0.0)
    p50, p99 = (1e3 * outcome.percentile(percent) for percent in (50, 99))
    return Waits(len(replies), len(replies) - outcome.count(200), p50, p99)


def _wrong(tasks: Sequence[LiveTask], replies: Sequence[Reply]) -> int:
    """Counts the answers that differ from the prediction of the version and backbone that they name."""
    answers = {task.path.rpartition("/")[2]: task.answers for task in tasks}
    wrong = 0
    for reply in replies:
        if reply.status == 200:
            body = json.loads(reply.body)
            backbone, probability = answers[body["task"]].get(body["version"], ("", math.nan))
            right = body["backbone"] == backbone and abs(body["predictions"][0]["probability"] - probability) <= _TOLERANCE
            wrong += not right
    return wrong


def _tell_load(waits: dict[str, Waits], wrong: dict[str, int]) -> None:
    print(f"{'':>8}{'requests':>10}{'failed':>8}{'wrong':>7}{'p50, ms':>9}{'p99, ms':>9}")
    for when, some in waits.items():
        print(f"{when:>8}{some.requests:>10}{some.failed:>8}{wrong[when]:>7}{some.p50:>9.1f}{some.p99:>9.1f}")
    times_before, times_after = (waits["during"].p99 / waits[when].p99 for when in ("before", "after"))
    print(f"p99 during the refresh is {times_before:.2f} of that before, on the one bundle, and {times_after:.2f} of that after")


def _tell_accuracy(tasks: Sequence[LiveTask]) -> list[dict[str, Any]]:
    """Prints and returns held-out accuracy of each kind of task and of all, in percent with the 95 % interval of the mean
    over tasks.
    """
    print(f"{'ways':>6}{'shots':>7}{'tasks':>7}{'moved':>7}{'before, %':>16}{'after, %':>16}{'gained':>16}")
    lines = []
    for kind in (*(kind[:2] for kind in _KINDS), None):
        those = [task for task in tasks if kind in {None, task.kind}]
        moved = Counter(len(task.answers) for task in those)[2]
        values = ([100 * task.before for task in those], [100 * task.after for task in those])
        gained = [after - before for before, after in zip(*values, strict=True)]
        cells = [(mean(some), interval(some)) for some in (*values, gained)]
        told = "".join(f"{middle:>9.2f} ± {half:.2f}" for middle, half in cells)
        ways, shots = kind or ("all", "")
        print(f"{ways:>6}{shots:>7}{len(those):>7}{moved:>7}{told}")
        lines.append({"ways": ways, "shots": shots, "tasks": len(those), "moved": moved, "before": cells[0], "after": cells[1]})
    return lines


if __name__ == "__main__":
    main()
