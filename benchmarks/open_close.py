"""Does a server that opens and closes bundles keep its size? Resident memory over many cycles of opening, serving and closing.

    python -m benchmarks.open_close --json open_close.json

Each cycle opens a copy of the shipped bundle over HTTP, makes it the default, creates a task on it, recognises images, removes
the task and closes the bundle. The shipped bundle stays open beside it.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.bundles import copy_bundle
from benchmarks.server_process import ServerProcess
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, paper_bundle, resident, sample_images, support_set

_MEGABYTE = 1e6


@dataclass(frozen=True)
class Cycle:
    """One cycle; bytes of resident memory with the bundle open and after it was closed, seconds that opening and closing took."""

    open_bytes: int
    closed_bytes: int
    opening: float
    closing: float


def main() -> None:
    parser = benchmark_parser("open_close", __doc__)
    parser.add_argument("--cycles", type=int, default=100, help="at least 4 (default %(default)s)")
    parser.add_argument("--engine", default="auto", help="engine of the server (default %(default)s)")
    arguments = parser.parse_args()
    shipped = paper_bundle()
    with TemporaryDirectory() as folder:
        id_ = copy_bundle(shipped.path, Path(folder), "copy")
        flags = ("--bundles-dir", folder, "--bundle", shipped.id, "--engine", arguments.engine)
        with ServerProcess(Path(folder) / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
            _serve(api, create_task(api, support_set()))
            before = resident(server.process.pid)
            print(f"{before / _MEGABYTE:.0f} MB of resident memory before the first cycle", flush=True)
            cycles = [_cycle(api, server.process.pid, id_, shipped.id) for _ in range(arguments.cycles)]
    _tell(cycles)
    write_json(arguments.json, {"engine": arguments.engine, "before": before, "cycles": [asdict(cycle) for cycle in cycles]})


def _cycle(api: httpx.Client, process: int, id_: str, usual: str) -> Cycle:
    began = time.perf_counter()
    api.post("/v1/backbones", json={"id": id_}).raise_for_status()
    opening = time.perf_counter() - began
    api.patch(f"/v1/backbones/{id_}", json={"default": True}).raise_for_status()
    task = create_task(api, support_set())
    _serve(api, task)
    open_bytes = resident(process)
    api.delete(task).raise_for_status()
    api.patch(f"/v1/backbones/{usual}", json={"default": True}).raise_for_status()
    began = time.perf_counter()
    api.delete(f"/v1/backbones/{id_}").raise_for_status()
    return Cycle(open_bytes, resident(process), opening, time.perf_counter() - began)


def _serve(api: httpx.Client, task: str) -> None:
    files = [("images", image) for image in sample_images()]
    api.post(f"{task}/predict", files=files).raise_for_status()


def _tell(cycles: Sequence[Cycle]) -> None:
    print(f"{'after':>6}{'open, MB':>10}{'closed, MB':>12}")
    for number in sorted({1, 2, 5, 10, 20, 50, len(cycles) // 2, len(cycles)} & set(range(1, len(cycles) + 1))):
        cycle = cycles[number - 1]
        print(f"{number:>6}{cycle.open_bytes / _MEGABYTE:>10.0f}{cycle.closed_bytes / _MEGABYTE:>12.0f}")
    quarter = -(-len(cycles) // 4)
    second, last = (median(cycle.closed_bytes for cycle in part) for part in (cycles[quarter:][:quarter], cycles[-quarter:]))
    print(f"closed, the last quarter of the cycles beside the second: {(last - second) / _MEGABYTE:+.1f} MB")
    opening, closing = (median(getattr(cycle, what) for cycle in cycles) for what in ("opening", "closing"))
    print(f"opening takes {opening:.2f} s, closing {closing:.2f} s in the median")


if __name__ == "__main__":
    main()
