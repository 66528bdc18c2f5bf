"""What does a request cost beside the backbone? Processor time by kind and by stage, with an engine that costs nothing.

    python -m benchmarks.request_cost --beside OTHER_TREE --json request_cost.json

A real server, whose engine takes pixels for embeddings; images of 32 x 32 pixels. Processor time is that of the event loop's
thread, which all requests share, and of the whole process. With `--beside`, another checkout serves the same requests in turns.
Stages come from a server of their own, since watching them costs time too.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.server_process import ROOT, free_port
from benchmarks.serving.free_engine import STAGES_FLAG
from benchmarks.serving.load import LoadGenerator, post, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, creation, sample_images, support_set
from models.bundle import PAPER_BUNDLE

_FREE_ENGINE = ROOT / "benchmarks" / "serving" / "free_engine.py"
_START_SECONDS = 60.0
_TASKS = 20  # that one request for many tasks asks
_SEVERAL = 32  # images of a larger request
_WARM = 50  # requests of a kind before any is measured


@dataclass(frozen=True)
class Cost:
    """Milliseconds of processor time that one request takes.

    Attributes:
        loop: of the event loop's thread.
        process: of all threads.
        stages: of the event loop's thread, by stage.
    """

    loop: float
    process: float
    stages: Mapping[str, float]


class CostedServer:
    """The server of a tree, with an engine that costs nothing, and load for it from a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, load: LoadGenerator) -> None:
        self._process = process
        self._load = load
        with httpx.Client(base_url=url, timeout=60) as api:
            self._requests = _requests([create_task(api, support_set()) for _ in range(_TASKS)])

    @property
    def kinds(self) -> list[str]:
        """The kinds of requests."""
        return list(self._requests)

    def cost(self, kind: str, connections: int, count: int) -> Cost:
        """The mean over `count` requests of a kind, `connections` at a time."""
        before = self._figures()
        outcome = self._load.closed(self._requests[kind], connections, count)
        after = self._figures()
        if outcome.count(201 if kind == _CREATE else 200) != count:
            sys.exit(f"some of {count} requests failed: {kind}")
        each = {name: 1e3 * (value - before.get(name, 0.0)) / count for name, value in after.items()}
        return Cost(each.pop("loop"), each.pop("process"), each)

    def _figures(self) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        figures: dict[str, float] = json.loads(self._process.stdout.readline())
        return figures


def main() -> None:
    parser = benchmark_parser("request_cost", __doc__, rounds=9)
    parser.add_argument("--requests", type=int, default=200, help="of a kind in each turn (default %(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="requests under way at once (default %(default)s)")
    parser.add_argument("--beside", type=Path, metavar="TREE", help="another checkout, to compare with")
    arguments = parser.parse_args()

    trees = [ROOT, *([arguments.beside.resolve()] if arguments.beside else [])]
    with ExitStack() as opened:
        servers = [opened.enter_context(_serving(tree)) for tree in trees]
        rows = [_compare(servers, kind, arguments) for kind in servers[0].kinds]
        watched = opened.enter_context(_serving(ROOT, STAGES_FLAG))
        stages = {kind: _stages(watched, kind, arguments) for kind in watched.kinds}
    _print_stages(stages)
    write_json(arguments.json, {"costs": rows, "stages": stages})


def _compare(servers: Sequence[CostedServer], kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Prints what a kind of request costs on each server, and the ratio to the last one where there are two."""
    for server in servers:
        server.cost(kind, arguments.connections, _WARM)
    rounds = [
        [server.cost(kind, arguments.connections, arguments.requests) for server in servers] for _ in range(arguments.rounds)
    ]
    loop, process = (
        [median(getattr(costs[each], name) for costs in rounds) for each in range(len(servers))] for name in ("loop", "process")
    )
    ratio = median(costs[0].loop / costs[-1].loop for costs in rounds)
    if kind == _HEALTH:
        beside = f"{'beside: loop':>14}{'process':>9}{'ratio':>8}" if len(servers) > 1 else ""
        print(f"{'milliseconds of a request':<36}{'loop':>7}{'process':>9}{beside}")
    compared = f"{loop[1]:>14.3f}{process[1]:>9.3f}{ratio:>8.2f}" if len(servers) > 1 else ""
    print(f"{kind:<36}{loop[0]:>7.3f}{process[0]:>9.3f}{compared}", flush=True)
    return {"kind": kind, "loop": loop, "process": process, "ratio": ratio}


def _stages(watched: CostedServer, kind: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of the event loop's thread by stage."""
    watched.cost(kind, arguments.connections, _WARM)
    return dict(watched.cost(kind, arguments.connections, arguments.rounds * arguments.requests).stages)


def _print_stages(stages: Mapping[str, Mapping[str, float]]) -> None:
    kinds = list(stages)
    print("\nmicroseconds of the event loop's thread by stage, watching included")
    for number, kind in enumerate(kinds):
        print(f"  {number}: {kind}")
    print(f"{'':<26}{''.join(f'{number:>8}' for number in range(len(kinds)))}")
    for stage in dict.fromkeys(stage for each in stages.values() for stage in each):
        print(f"{stage:<26}{''.join(f'{1e3 * stages[kind].get(stage, 0.0):>8.0f}' for kind in kinds)}")


@contextmanager
def _serving(tree: Path, *flags: str) -> Iterator[CostedServer]:
    """A server of that tree, ready."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        command = [sys.executable, "-P", str(_FREE_ENGINE), *flags, "--port", str(port), "--data-dir", f"{folder}/data"]
        process = subprocess.Popen(  # noqa: S603
            [*command, "--bundle", PAPER_BUNDLE, "--engine", "onnx"],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            _wait_until_ready(url, process, Path(folder) / "log")
            with LoadGenerator(url) as load:
                yield CostedServer(process, url, load)
        finally:
            process.terminate()
            process.communicate()


def _wait_until_ready(url: str, process: "subprocess.Popen[str]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.05)
    sys.exit(f"a server did not start:\n{log.read_text()[-2000:]}")


_HEALTH, _CREATE = "GET /healthz", "create a task of 25 images, form"


def _requests(tasks: Sequence[str]) -> dict[str, list[bytes]]:
    """Whole requests by kind."""
    images = sample_images()
    predict = f"{tasks[0]}/predict"
    several = list(islice(cycle(images), _SEVERAL))
    ids = ",".join(task.rpartition("/")[2] for task in tasks)
    form = creation(support_set())
    return {
        _HEALTH: [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        "predict, 1 image, raw": post_images(predict, images),
        "predict, 1 image, form": [post_form(predict, [("images", image)]) for image in images],
        "predict, 1 image, JSON": [_document(predict, [image]) for image in images],
        "predict, 1 image, raw, ?top_k=3": post_images(f"{predict}?top_k=3", images),
        f"predict, {_SEVERAL} images, form": [post_form(predict, [("images", image) for image in several])],
        f"predict, {_SEVERAL} images, JSON": [_document(predict, several)],
        f"1 image by {_TASKS} tasks, raw": post_images(f"/v1/predict?tasks={ids}", images),
        _CREATE: [post_form("/v1/tasks", form["files"], form["data"])],
    }


def _document(path: str, images: Sequence[bytes]) -> bytes:
    texts = [base64.b64encode(image).decode() for image in images]
    return post(path, json.dumps({"images": texts}).encode(), "application/json")


if __name__ == "__main__":
    main()
