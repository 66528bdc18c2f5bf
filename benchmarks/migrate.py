"""How fast is a store copied from SQLite to PostgreSQL and back, and how much memory does that take?

    python -m benchmarks.migrate --json migrate.json

A store of tasks of 25 random images of 100 kB, with embeddings and heads in the sizes of the shipped bundle's. PostgreSQL runs on
the same machine and waits for the disk at each commit. A figure is of the whole command, which also reads both to compare them.
"""

import hashlib
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.postgres_server import PostgresServer
from benchmarks.server_process import ROOT
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import paper_bundle
from models.heads.fitting import fit_head
from server.ids import new_id
from server.store.records import NewExample, TaskKey
from server.store.store import Store, sqlite_url

_EXAMPLES, _CLASSES, _IMAGE_BYTES = 25, 5, 100_000  # of a task


def main() -> None:
    parser = benchmark_parser("migrate", __doc__)
    parser.add_argument("--megabytes", type=int, default=200, help="of images (default %(default)s)")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, PostgresServer(settings={}) as postgres:
        first, last = (sqlite_url(Path(folder) / name) for name in ("first", "last"))
        megabytes, rows = _filled(first, arguments.megabytes)
        found = {"MB": megabytes, "rows": float(rows)}
        for name, source, target in (("to PostgreSQL", first, postgres.url()), ("to SQLite", postgres.url(), last)):
            seconds, most = _run(source, target)
            found |= {name: seconds, f"peak MB {name}": most}
            rates = f"{megabytes / seconds:>8.1f} MB/s{rows / seconds:>8.0f} rows/s"
            print(f"{name:<14}{seconds:>7.1f} s{rates}, at most{most:>5.0f} MB of memory")
    write_json(arguments.json, found)


def _filled(url: str, megabytes: int) -> tuple[float, int]:
    """Makes a store. Returns the MB of its images, and the rows of its tasks, versions, examples and embeddings."""
    bundle = paper_bundle()
    random = np.random.default_rng(0)
    tasks = max(1, round(megabytes * 1e6 / _IMAGE_BYTES / _EXAMPLES))
    labels = [f"class {number % _CLASSES}" for number in range(_EXAMPLES)]
    vectors = random.standard_normal((_EXAMPLES, bundle.manifest.embedding_dim), np.float32)
    head = fit_head(vectors, labels, bundle.space("backbone.onnx"), bundle.manifest.head.options())
    with closing(Store.open(url)) as store:
        for _ in range(tasks):
            images = [random.bytes(_IMAGE_BYTES) for _ in labels]
            examples = [
                NewExample(new_id("example"), label, image, len(image), "image/png", hashlib.sha256(image).hexdigest(), vector)
                for label, image, vector in zip(labels, images, vectors, strict=True)
            ]
            store.tasks.create(TaskKey("default", new_id("task")), "random", examples, head)
    return tasks * _EXAMPLES * _IMAGE_BYTES / 1e6, tasks * (2 + 2 * _EXAMPLES)


def _run(source: str, target: str) -> tuple[float, float]:
    """Returns the seconds of the command, and the most MB that it held at once."""
    began, most = time.perf_counter(), 0
    command = [sys.executable, "-m", "server", "migrate", "--from", source, "--to", target]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603 -- ours
        while process.poll() is None:
            if found := re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text()):
                most = int(found[1])
            time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"the command ended with status {process.returncode}")
    return time.perf_counter() - began, most / 1024


if __name__ == "__main__":
    main()
