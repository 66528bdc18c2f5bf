"""Do replicas lose or mix up anything while they, PostgreSQL and the network fail? Three of them behind HAProxy, under load.

    python -m benchmarks.drill --minutes 30 --json drill.json

Each program has a network namespace of its own on this machine: three servers, HAProxy with `deploy/haproxy.cfg`, and PostgreSQL
with a synchronous standby. Clients predict, create, change, correct, forget and delete at a steady rate. They remember what was
acknowledged and when. Meanwhile one fault follows the other. In the end each replica, asked alone, must have all that was
acknowledged. Each prediction must come of a version that was active at most half a second before, or since the client's own last
change. Its scores are computed once more from the head that the database has. Needs root, HAProxy and PostgreSQL.
"""

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.drill import postgres
from benchmarks.drill.actions import MIX, create
from benchmarks.drill.checks import lost, unforgotten, wrong_answers
from benchmarks.drill.client import Client
from benchmarks.drill.faults import FAULTS, Fault, Site
from benchmarks.drill.load import Load
from benchmarks.drill.network import Network
from benchmarks.drill.report import Struck, outcomes, outside, tell
from benchmarks.drill.servers import Balancer, Replica
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import paper_bundle, sample_images
from models.engine import file_of
from models.images.preprocess import load_image
from server.keys import DEFAULT_TENANT
from server.store.key_records import new_key
from server.store.keys import KeyStore
from server.store.opening import open_beside

_TASKS = 40
_CALM_SECONDS = 10.0  # between the repair of a fault and the next one


def main() -> None:
    arguments = _parser().parse_args()
    if reason := postgres.missing():
        sys.exit(f"no drill here: {reason}")
    queries = sample_images()[:8]
    embeddings, mean = _embedded(queries)
    with _site() as (site, balancer, key, folder):
        load = Load(Client(balancer.url, key), site.cluster, queries)
        for _ in range(_TASKS):
            create(load)
        stop = threading.Event()
        rate = arguments.rate
        loading = threading.Thread(target=load.run, args=(MIX, rate, stop))
        loading.start()
        struck = list(_drill(site, arguments.minutes, [fault for fault in FAULTS if arguments.only in fault.name]))
        stop.set()
        loading.join()
        load.client.close()
        wrong = [*load.wrong, *lost(load, site.replicas, key), *unforgotten(load, site.cluster)]
        wrong += wrong_answers(load, embeddings, mean)
        if arguments.logs:
            for file in (*folder.glob("*.log"), *(folder / "pg").glob("*.log")):
                (arguments.logs / file.name).write_bytes(file.read_bytes())
    answers = load.client.answers
    found = outcomes(struck, load.done, answers, rate)
    strays = outside(struck, answers)
    figures = tell(found, answers, wrong, strays)
    counts = {"tasks": len(load.made), "not judged": sum(task.open for task in load.made), "forgotten": len(load.forgotten)}
    print(", ".join(f"{count} {what}" for what, count in counts.items()), f"and {len(load.predicted)} predictions")
    write_json(arguments.json, {**figures, **counts, "predictions": len(load.predicted)})
    if wrong or strays or figures["undocumented"] or figures["harmed"]:
        sys.exit("something was lost, wrong or not documented, or failed while nothing may fail")


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("drill", __doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of faults (default %(default)s)")
    parser.add_argument("--rate", type=float, default=35.0, help="actions a second (default %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only faults whose names have this in them")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the logs of all programs there")
    return parser


@contextmanager
def _site() -> Iterator[tuple[Site, Balancer, str, Path]]:
    """Starts everything; yields also a `manage` key and the folder of logs."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="headstart-drill-")))
        folder.chmod(0o755)  # PostgreSQL runs as another user.
        net = opened.enter_context(Network())
        cluster = opened.enter_context(postgres.Cluster(net, folder / "pg"))
        key = _first_key(cluster.url)
        replicas = [Replica(net, node, folder, cluster.url) for node in ("r1", "r2", "r3")]
        for replica in replicas:
            opened.callback(replica.close)
            replica.start()
        balancer = opened.enter_context(Balancer(net, folder, replicas))
        yield Site(net, cluster, replicas, folder), balancer, key, folder


def _drill(site: Site, minutes: float, faults: Sequence[Fault]) -> Iterator[Struck]:
    """Does one fault after the other until the time is over, each at least once; yields them."""
    end = time.monotonic() + 60 * minutes
    time.sleep(_CALM_SECONDS)
    for count, fault in enumerate(itertools.cycle(faults)):
        if time.monotonic() > end and count >= len(faults):
            return
        acting = fault.act(site)
        struck = time.monotonic()
        next(acting)
        time.sleep(fault.seconds)
        next(acting)
        repaired = time.monotonic()
        print(f"{time.strftime('%X')} {fault.name}: mended after {repaired - struck:.1f} s", flush=True)
        time.sleep(_CALM_SECONDS)
        over = time.monotonic()
        next(acting, None)
        yield Struck(fault.name, fault.harmless, fault.partial, struck, repaired, over)


def _first_key(url: str) -> str:
    database = open_beside(url, creates=True)
    try:
        record, key = new_key(DEFAULT_TENANT, "manage", None, None)
        KeyStore(database).add(record)
    finally:
        database.close()
    return key


def _embedded(images: Sequence[bytes]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the embeddings (N, D) of images by the engine of the drill, which takes pixels, and the mean (D,) of the space."""
    bundle = paper_bundle()
    mean = bundle.space(file_of("onnx")).mean
    pixels = np.stack([load_image(image, bundle.manifest.input) for image in images])
    return pixels.reshape(len(pixels), -1)[:, : len(mean)].astype(np.float32), np.asarray(mean)


if __name__ == "__main__":
    main()
