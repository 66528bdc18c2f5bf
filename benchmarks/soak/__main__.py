"""Does a server that does everything for hours keep its size? Memory, descriptors and threads under compressed load.

    python -m benchmarks.soak --minutes 40 --csv soak.csv --json soak.json

Callers use the whole API at a steady rate: they create, predict, add, relabel, forget, capture and review, save and restore, make
and revoke keys, move tasks between two bundles, open and close a third, send what must be refused, and break connections. The
number of tasks, examples and captures stays the same, since old tasks are deleted. Further flags are the server's:

    python -m benchmarks.soak --minutes 40 -- --queue-seconds 10
"""

import argparse
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from PIL import Image

from benchmarks.bundles import copy_bundle
from benchmarks.server_process import ServerProcess, first_key
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import paper_bundle, sample_images, support_set
from benchmarks.soak.actions import MIX, create_task, open_and_close, refresh
from benchmarks.soak.caller import Caller, Labelled, Pool, Tally, Unexpected
from benchmarks.soak.samples import Sample, SampleFile, Slope, read_sample, slope

_REFRESH_SECONDS, _BUNDLE_SECONDS = 10.0, 15.0
_TOLD_LINES = 60


def main() -> None:
    arguments = _parser().parse_args()
    tally, pool = Tally(), Pool()
    with TemporaryDirectory() as name:
        folder = Path(name)
        copy = copy_bundle(paper_bundle().path, folder / "bundles", "copy")
        token = first_key(folder / "data")
        flags = ("--bundles-dir", str(folder / "bundles"), "--bundle", arguments.bundles[0], "--log-level", "warning")
        with ServerProcess(folder / "data", *flags, *arguments.server_flags, until="/healthz") as server:
            images, photographs = _images(), _photographs()
            callers = [Caller(server.url, token, pool, tally, images, photographs, seed) for seed in range(arguments.callers + 2)]
            for _ in range(arguments.tasks):
                create_task(callers[0])
            began = time.monotonic()
            stop, threads = _start(callers, arguments, copy)
            samples = _watch(server, folder / "data", arguments, began, tally)
            stop.set()
            for thread in threads:
                thread.join()
        log = server.log().splitlines()
        errors = [at for at, line in enumerate(log) if '"error"' in line.lower() or "Traceback" in line]
    figures = _tell(samples, tally, arguments.warm_up)
    print(f"{len(errors)} errors in the server's log")
    if errors:
        print("the log from the first of them:", *log[errors[0] : errors[0] + _TOLD_LINES], sep="\n")
    write_json(
        arguments.json,
        {
            "minutes": arguments.minutes,
            "slopes": {name: asdict(each) for name, each in figures.items()},
            "last": asdict(samples[-1]),
        },
    )
    if tally.unexpected or errors:
        sys.exit("there were answers that should not have been, or errors")


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("soak", __doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="default %(default)s")
    parser.add_argument("--warm-up", type=float, default=10.0, help="minutes that do not count (default %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=30.0, help="actions a second, most of them one request (default %(default)s)"
    )
    parser.add_argument("--callers", type=int, default=6, help="threads that send them (default %(default)s)")
    parser.add_argument("--tasks", type=int, default=60, help="stored at any time (default %(default)s)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples (default %(default)s)")
    parser.add_argument(
        "--bundles",
        nargs=2,
        metavar="BUNDLE",
        default=("cifar-fs-resnet12@1", "photos@1"),
        help="that of new tasks, and one that refreshes move to and fro (default %(default)s)",
    )
    parser.add_argument("--csv", type=Path, default=Path(os.devnull), metavar="FILE", help="also write the samples to this file")
    parser.add_argument("server_flags", nargs="*", metavar="-- FLAG", help="further flags of the server")
    return parser


def _images() -> Labelled:
    """Returns images of five classes, each also turned and mirrored."""
    images = []
    for label, encoded in support_set():
        with Image.open(io.BytesIO(encoded)) as image:
            turned = (image, *(image.transpose(way) for way in Image.Transpose))
            images += [(label, _encoded(each, "PNG")) for each in turned]
    return images


def _photographs() -> list[bytes]:
    """Returns images that take longer to decode, one of them in a process of its own."""
    with Image.open(io.BytesIO(sample_images()[0])) as image:
        return [
            _encoded(image.convert("RGB").resize(size), form) for size, form in (((1600, 1200), "JPEG"), ((1300, 1000), "PNG"))
        ]


def _encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def _start(callers: Sequence[Caller], arguments: argparse.Namespace, copy: str) -> tuple[threading.Event, list[threading.Thread]]:
    """Lets the callers begin. The last two move tasks, and open and close a bundle."""
    stop = threading.Event()
    *usual, mover, opener = callers
    weights, actions = zip(*MIX, strict=True)

    def any_of(caller: Caller) -> None:
        caller.rng.choices(actions, weights)[0](caller)

    works: list[tuple[Caller, Callable[[Caller], None], float]] = [
        *((caller, any_of, len(usual) / arguments.rate) for caller in usual),
        (mover, lambda caller: refresh(caller, arguments.bundles), _REFRESH_SECONDS),
        (opener, lambda caller: open_and_close(caller, copy), _BUNDLE_SECONDS),
    ]
    threads = [threading.Thread(target=_repeat, args=(*work, stop), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return stop, threads


def _repeat(caller: Caller, action: Callable[[Caller], None], every: float, stop: threading.Event) -> None:
    """Does something on schedule until the stop. What falls behind is not made up for."""
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = max(due, time.monotonic() - every) + every
        try:
            action(caller)
        except Unexpected:
            pass  # It is counted.
        except Exception as error:  # A soak goes on, and tells at its end.
            caller.tally.count(getattr(action, "__name__", "action"), type(error).__name__, False, repr(error))
    caller.close()


def _watch(server: ServerProcess, folder: Path, arguments: argparse.Namespace, began: float, tally: Tally) -> list[Sample]:
    """Samples until the time is over or the server has ended."""
    samples, file = [], SampleFile(arguments.csv)
    while (now := time.monotonic()) < began + 60 * arguments.minutes:
        try:
            samples.append(read_sample(server.process.pid, folder, began, tally.counts.total()))
        except psutil.NoSuchProcess:
            tally.count("server", "ended", False, server.log()[-300:])
            break
        file.add(samples[-1])
        time.sleep(max(0.0, now + arguments.every - time.monotonic()))
    file.close()
    return samples


def _tell(samples: Sequence[Sample], tally: Tally, warm_up: float) -> dict[str, Slope]:
    """Prints the requests and the slopes, and returns the slopes."""
    print(f"{'requests':<20}statuses")
    for kind in sorted({kind for kind, _ in tally.counts}):
        outcomes = sorted((outcome, count) for (each, outcome), count in tally.counts.items() if each == kind)
        print(f"{kind:<20}{', '.join(f'{outcome}: {count}' for outcome, count in outcomes)}")
    print(f"{tally.counts.total()} requests, {tally.unexpected.total()} of them not as they should be")
    for (kind, outcome), count in tally.unexpected.items():
        print(f"unexpected: {count} times {kind}: {outcome} {tally.said[kind, outcome]}")
    warm = [sample for sample in samples if sample.seconds >= 60 * warm_up]
    print(f"{'an hour, after warm-up':<24}{'first':>9}{'last':>9}  slope and its 95 % interval")
    slopes = {}
    for name in ("anonymous", "server_anonymous", "pss", "uss", "rss", "descriptors", "threads", "processes", "database"):
        slopes[name] = slope(warm, name)
        print(f"{name:<24}{getattr(warm[0], name):>9.1f}{getattr(warm[-1], name):>9.1f}  {slopes[name]}")
    return slopes


if __name__ == "__main__":
    main()
