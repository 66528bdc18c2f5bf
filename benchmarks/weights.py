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
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import psutil

from benchmarks.shared.command import benchmark_parser, write_json
from models.bundle import DEFAULT_BUNDLE, ONNX, ONNX_INT8, PAPER_BUNDLE, SHIPPED, Bundle, find_bundles, open_bundle
from models.engine import keep_freed_memory_together, release_memory
from models.images.preprocess import Pixels
from models.runtimes.mapped import mapped_form
from models.runtimes.sessions import CPU, open_session

_BATCHES = (1, 8, 32)
_PROCESSES = (1, 2, 4)
_MAPPED = "mapped form, as with workers"
_BESIDE = {"session.optimized_model_external_initializers_file_name": "weights"}
_IN_PLACE = {
    "session.use_memory_mapped_ort_model": "1",
    "session.use_ort_model_bytes_directly": "1",
    "session.use_ort_model_bytes_for_initializers": "1",
}


@dataclass(frozen=True)
class Way:
    """A way of opening a backbone.

    Attributes:
        options: of ONNX Runtime's `SessionOptions`.
        entries: of the session's configuration.
        saved: the configuration with which the optimised model is saved before and then opened; None to open the bundle's file.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, str] = field(default_factory=dict)
    saved: Mapping[str, str] | None = None


_FIRST = "the file, ONNX Runtime's defaults"
WAYS = {
    _FIRST: Way(),
    "no memory patterns, as one process": Way({"enable_mem_pattern": False}),
    "no arena": Way({"enable_cpu_mem_arena": False}),
    "no packing": Way(entries={"session.disable_prepacking": "1"}),
    "saved, weights beside": Way(saved=_BESIDE),
    "saved, weights beside, no packing": Way(entries={"session.disable_prepacking": "1"}, saved=_BESIDE),
    "saved in the ORT format": Way(entries=_IN_PLACE, saved={"session.save_model_format": "ORT"}),
    _MAPPED: Way(),
}


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


def open_way(name: str, bundle: Bundle, file: str, folder: Path) -> onnxruntime.InferenceSession:
    """Returns a session on one thread, opened in a way. What that saves is made in `folder` if it is not there."""
    if name == _MAPPED:
        return open_session(mapped_form(bundle, file, folder) or bundle.read(file), 1)
    way = WAYS[name]
    if way.saved is None:
        return _session(bundle.read(file), way)
    made = folder / name.replace(" ", "-") / ("graph.ort" if "ORT" in way.saved.values() else "graph.onnx")
    if not made.exists():
        made.parent.mkdir()
        _session(bundle.read(file), Way({"optimized_model_filepath": str(made)}, way.saved))
    unchanged = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _session(str(made), Way({"graph_optimization_level": unchanged}, way.entries))


def _session(model: bytes | str, way: Way) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in way.options.items():
        setattr(options, name, value)
    for name, value in way.entries.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(model, options, providers=[CPU])


def _measured(path: Path, file: str, ways: Sequence[str], folder: Path, rounds: int) -> dict[str, dict[str, Any]]:
    bundle = open_bundle(path)
    sessions = {name: open_way(name, bundle, file, folder) for name in ways}
    first = ways[0]
    wanted = _embed(sessions[first], bundle.golden_pixels)
    rows: dict[str, dict[str, Any]] = {}
    for name in ways:
        rows[name] = {"equal": bool(np.array_equal(_embed(sessions[name], bundle.golden_pixels), wanted))}
    for size in _BATCHES:
        pixels = np.resize(bundle.golden_pixels, (size, *bundle.golden_pixels.shape[1:]))
        spent = _turns({name: partial(_embed, session, pixels) for name, session in sessions.items()}, rounds)
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


def _embed(session: onnxruntime.InferenceSession, pixels: Pixels) -> Any:
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def _memory(name: str, path: Path, file: str, folder: Path) -> dict[str, float]:
    """Returns the megabytes of a process with so many of them, and the seconds that opening took in the first."""
    context = multiprocessing.get_context("spawn")
    held: list[tuple[Connection, Any]] = []
    figures: dict[str, float] = {}
    for count in _PROCESSES:
        while len(held) < count:
            ours, theirs = context.Pipe()
            process = context.Process(target=_hold, args=(name, path, file, folder, theirs))
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


def _hold(name: str, path: Path, file: str, folder: Path, connection: Connection) -> None:
    """Opens a backbone, uses it, and keeps it until told to end."""
    keep_freed_memory_together()
    bundle = open_bundle(path)
    started = time.perf_counter()
    session = open_way(name, bundle, file, folder)
    seconds = time.perf_counter() - started
    for size in range(1, 9):
        _embed(session, np.resize(bundle.golden_pixels, (size, *bundle.golden_pixels.shape[1:])))
    release_memory()
    connection.send(seconds)
    connection.recv()


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
