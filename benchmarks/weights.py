"""Which way of opening a backbone has processes share its weights? Memory, speed and time to open of each.

    python -m benchmarks.weights --json weights.json

Speed is that of one session on one thread, against the first way, for batches of 1, 8 and 32 images. It is told by processor
time, of which other programs take less than of the clock's. Memory is that of bare processes which have embedded batches of one
to eight images: pages that they share are divided among them. `of its own` is what a process would give back by ending. A way is
equal if it gives the golden images the very embeddings that the first way gives.
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.openings import WAYS, embed, hold, open_way
from models.bundle import DEFAULT_BUNDLE, ONNX, ONNX_INT8, PAPER_BUNDLE, SHIPPED, find_bundles, open_bundle

_BATCHES = (1, 8, 32)
_PROCESSES = (1, 2, 4)


def main() -> None:
    parser = benchmark_parser("weights", __doc__, rounds=30)
    parser.add_argument("--bundles", nargs="+", default=[DEFAULT_BUNDLE, PAPER_BUNDLE], help="shipped ones (default %(default)s)")
    parser.add_argument("--ways", type=int, nargs="+", default=[*range(len(WAYS))], help="numbers of ways, from 0 (default: all)")
    arguments = parser.parse_args()
    ways = [list(WAYS)[number] for number in arguments.ways]
    found = {}
    for id_ in arguments.bundles:
        for file in (ONNX, ONNX_INT8):
            with TemporaryDirectory() as folder:
                rows = _measured(find_bundles(SHIPPED)[id_], file, ways, Path(folder), arguments.rounds)
            _print(f"{id_}, {file}", rows)
            found[f"{id_} {file}"] = rows
    write_json(arguments.json, found)


def _measured(path: Path, file: str, ways: Sequence[str], folder: Path, rounds: int) -> dict[str, dict[str, Any]]:
    bundle = open_bundle(path)
    sessions = {name: open_way(name, bundle, file, folder) for name in ways}
    first = ways[0]
    wanted = embed(sessions[first], bundle.golden_pixels)
    rows: dict[str, dict[str, Any]] = {}
    for name in ways:
        rows[name] = {"equal": bool(np.array_equal(embed(sessions[name], bundle.golden_pixels), wanted))}
    for size in _BATCHES:
        pixels = np.resize(bundle.golden_pixels, (size, *bundle.golden_pixels.shape[1:]))
        spent = _turns({name: partial(embed, session, pixels) for name, session in sessions.items()}, rounds)
        for name in ways:
            rows[name][f"speed_{size}"] = median(a / b for a, b in zip(spent[first], spent[name], strict=True))
    del sessions
    for name in ways:
        rows[name] |= _memory(name, path, file, folder)
    return rows


def _turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of this thread's processor time of each call of each round."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.thread_time()
            call()
            spent[name].append(time.thread_time() - started)
    return spent


def _memory(name: str, path: Path, file: str, folder: Path) -> dict[str, float]:
    """Returns the megabytes of a process with so many of them, and the seconds that opening took in the first."""
    context = multiprocessing.get_context("spawn")
    held: list[tuple[Connection, Any]] = []
    figures: dict[str, float] = {}
    for count in _PROCESSES:
        while len(held) < count:
            ours, theirs = context.Pipe()
            process = context.Process(target=hold, args=(name, path, file, folder, theirs))
            process.start()
            held.append((ours, process))
            seconds = ours.recv()
            figures.setdefault("open_seconds", seconds)
        each = [psutil.Process(process.pid).memory_full_info() for _, process in held]
        figures[f"megabytes_{count}"] = sum(info.pss for info in each) / count / 1e6
        figures[f"own_{count}"] = sum(info.uss for info in each) / count / 1e6
    for connection, process in held:
        connection.send("end")
        process.join()
    return figures


def _print(title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    sizes = "".join(f"{f'x {size}':>7}" for size in _BATCHES)
    counts = "".join(f"{f'MB of {count}':>9}" for count in _PROCESSES)
    print(f"\n{title}\n{'way':<36}{sizes}{counts}{'of its own':>11}{'open, s':>9}{'equal':>7}")
    for name, row in rows.items():
        speeds = "".join(f"{row[f'speed_{size}']:>7.2f}" for size in _BATCHES)
        memory = "".join(f"{row[f'megabytes_{count}']:>9.0f}" for count in _PROCESSES)
        own = row[f"own_{_PROCESSES[-1]}"]
        print(
            f"{name:<36}{speeds}{memory}{own:>11.0f}{row['open_seconds']:>9.2f}{'yes' if row['equal'] else 'no':>7}", flush=True
        )


if __name__ == "__main__":
    main()
