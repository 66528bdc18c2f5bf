"""What does HTTP cost? The served path beside decode + session in one process without a server, in turns.

    python -m benchmarks.http --json http.json

It also prints the parts of a task's creation. A server runs as the README starts it, with a task of 25 sample images, and the
other sample images are queries. Throughput is held against the cores that the load generator leaves; ratios are medians over the
rounds.
"""

import base64
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from benchmarks.server_process import ServerProcess
from benchmarks.serving.load import LoadGenerator, Outcome, post, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, creation, paper_bundle, sample_images, support_set
from benchmarks.shared.turns import Contestant, race
from models.bundle import Bundle
from models.engine import MAX_BATCH, Engine, open_engine
from models.images.preprocess import load_image
from models.processor import available_cores

_CREATIONS = 100
_BATCHED, _SINGLE = "no server, batches of 32", "no server, one at a time"
_ALONE = "raw, 1 connection"


class Served:
    """One way to ask the server, as a contestant.

    Args:
        images: per request.
    """

    def __init__(self, load: LoadGenerator, requests: Sequence[bytes], images: int, connections: int) -> None:
        self._load = load
        self._requests = requests
        self._images = images
        self._connections = connections
        self.outcomes: list[Outcome] = []

    def __call__(self, count: int) -> int:
        """Sends `count` images, or a few more: every connection sends at least one request. Returns the number sent."""
        requests = max(self._connections, -(-count // self._images))
        outcome = self._load.closed(self._requests, self._connections, requests)
        if outcome.count(200) != requests:
            raise SystemExit(f"{requests - outcome.count(200)} of {requests} requests failed")
        self.outcomes.append(outcome)
        return requests * self._images

    @property
    def cores(self) -> float:
        """The cores that the load generator kept busy."""
        return mean(outcome.cores for outcome in self.outcomes)

    def milliseconds(self, percent: float) -> float:
        """Returns the median over the turns of that percentile of a request's time."""
        return 1e3 * median(outcome.percentile(percent) for outcome in self.outcomes)


def main() -> None:
    arguments = benchmark_parser("http", __doc__, rounds=5, seconds=3.0).parse_args()

    images = sample_images()
    bundle = paper_bundle()
    engine = open_engine(bundle)
    with (
        TemporaryDirectory() as folder,
        ServerProcess(Path(folder) / "data", "--engine", engine.kind) as server,
        LoadGenerator(server.url) as load,
    ):
        with httpx.Client(base_url=server.url, timeout=60) as api:
            predict = f"{create_task(api, support_set())}/predict"
        served = _ways(load, predict, images)
        print(f"{bundle.id} on {engine.kind}, {available_cores()} cores; images per second")
        contestants: dict[str, Contestant] = {
            _BATCHED: _batched(engine, bundle, images),
            _SINGLE: _single(engine, bundle, images),
            **served,
        }
        rates = race(contestants, arguments.rounds, arguments.seconds)
        created = _creation(server.url)
    for way in served.values():
        del way.outcomes[: -arguments.rounds]  # those that only found out how much fits a turn

    cores = available_cores()
    rows = []
    print(f"{'':<34}{'images/s':>10}{'of no server':>14}{'(least, most)':>16}{'load, cores':>13}{'p50, ms':>9}{'p99, ms':>9}")
    for name in (_BATCHED, _SINGLE):
        print(f"{name:<34}{rates.median(name):>10.0f}")
    for name, way in served.items():
        ratio = rates.ratio(name, _BATCHED)
        left = (cores - way.cores) / cores
        shares = [share / left for share in (ratio.median, ratio.least, ratio.most)]
        p50, p99 = way.milliseconds(50), way.milliseconds(99)
        spread = f"({shares[1]:.2f}, {shares[2]:.2f})"
        print(f"{name:<34}{rates.median(name):>10.0f}{shares[0]:>14.2f}{spread:>16}{way.cores:>13.2f}{p50:>9.1f}{p99:>9.1f}")
        rows.append({"way": name, "rate": rates.median(name), "shares": shares, "cores": way.cores, "p50": p50, "p99": p99})
    turns = zip(served[_ALONE].outcomes, rates.rounds[_SINGLE], strict=True)
    added = median(1e3 * (turn.percentile(50) - 1 / alone) for turn, alone in turns)
    print(f"\none image takes {1e3 / rates.median(_SINGLE):.2f} ms without a server; one connection's p50 is {added:.2f} ms more")
    stages = ", ".join(
        f"{name} {milliseconds:.1f}" for name, milliseconds in created.items() if name not in {"201", "total", "share"}
    )
    print(f"creation, 5-way 5-shot: {created['201']:.1f} ms until the 201 is here, medians; of them {stages}")
    print(f"embedding takes {created['share']:.0%} of the time to 201")
    without = {name: rates.median(name) for name in (_BATCHED, _SINGLE)}
    write_json(arguments.json, {"without": without, "served": rows, "added_ms": added, "creation": created})


def _creation(url: str) -> dict[str, float]:
    """Milliseconds until the 201 is there, and what the server says of its stages; medians of as many creations."""
    form = httpx.Request("POST", url, **creation(support_set()))
    body, headers = form.read(), {"Content-Type": form.headers["content-type"]}
    creations = []
    with closing(HTTPConnection(form.url.host, form.url.port)) as connection:
        for _ in range(_CREATIONS):
            started = time.perf_counter()
            connection.request("POST", "/v1/tasks", body, headers)
            with connection.getresponse() as reply:
                document = json.load(reply)
            seconds = time.perf_counter() - started
            if reply.status != HTTPStatus.CREATED:
                raise SystemExit(f"a creation was answered {reply.status}")
            creations.append({"201": 1e3 * seconds, **document["timing_ms"]})
    found = {name: median(creation[name] for creation in creations) for name in creations[0]}
    return {**found, "share": median(creation["embed"] / creation["201"] for creation in creations)}


def _ways(load: LoadGenerator, path: str, images: Sequence[bytes]) -> dict[str, Served]:
    raw = post_images(path, images)
    several = list(islice(cycle(images), MAX_BATCH))
    texts = [base64.b64encode(image).decode() for image in several]
    forms = [post_form(path, [("images", image) for image in several])]
    documents = [post(path, json.dumps({"images": texts}).encode(), "application/json")]
    return {
        _ALONE: Served(load, raw, 1, 1),
        **{f"raw, {connections} connections": Served(load, raw, 1, connections) for connections in (8, 64)},
        "multipart of 32, 4 connections": Served(load, forms, MAX_BATCH, 4),
        "JSON of 32, 4 connections": Served(load, documents, MAX_BATCH, 4),
    }


def _batched(engine: Engine, bundle: Bundle, images: Sequence[bytes]) -> Contestant:
    """Returns the fastest contestant without a server: as many threads as the engine serves at once, with full batches."""
    spec = bundle.manifest.input
    batch = list(islice(cycle(images), MAX_BATCH))

    def run(count: int) -> int:
        batches = -(-count // MAX_BATCH)
        with ThreadPoolExecutor(engine.parallel) as pool:
            for _ in pool.map(lambda _: engine.embed(np.stack([load_image(image, spec) for image in batch])), range(batches)):
                pass
        return batches * MAX_BATCH

    return run


def _single(engine: Engine, bundle: Bundle, images: Sequence[bytes]) -> Contestant:
    spec = bundle.manifest.input

    def run(count: int) -> int:
        for image in islice(cycle(images), count):
            engine.embed(load_image(image, spec)[None])
        return count

    return run


if __name__ == "__main__":
    main()
