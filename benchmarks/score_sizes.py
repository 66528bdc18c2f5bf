"""Does `headstart score` hold a million files, and a zip of 100,000 members? Listing, memory, a kill, and going on.

    python -m benchmarks.score_sizes --json sizes.json

Nearly all of the images are empty files, and one in 1,000 is a picture. So hardly anything is decoded or embedded. What is left
is the listing, the reading, a row for each image, and the one file. A process scores each source, and is killed when half of the
parts are done. A second process goes on from there. Then each image must have one row.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.score import task_of
from benchmarks.shared.command import benchmark_parser, write_json
from models.bundle import PAPER_BUNDLE, SHIPPED, find_bundles, open_bundle
from models.engine import open_engine
from scoring.embed import Backbone
from scoring.plan import PART

_FOLDER = 1000  # files of a folder, the first of which is a picture
_PICTURES = 25


@dataclass(frozen=True)
class Call:
    """One process.

    Attributes:
        seconds: from its start to its end.
        processor: seconds of processor time.
        megabytes: the most memory that it had.
    """

    seconds: float
    processor: float
    megabytes: float


@dataclass(frozen=True)
class Row:
    """One source.

    Attributes:
        images: of it.
        listed: seconds from the first process's start until the list is written.
        done: images that were done when the first process was killed.
        killed, whole: the first and the second process.
        result: size in MB.
    """

    source: str
    images: int
    listed: float
    done: int
    killed: Call
    whole: Call
    result: float


def main() -> None:
    parser = benchmark_parser("score_sizes", __doc__)
    parser.add_argument("--files", type=int, default=1_000_000, help="of the folder (default %(default)s)")
    parser.add_argument("--members", type=int, default=100_000, help="of the zip (default %(default)s)")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures = _pictures(folder / "pictures")
        bundle = open_bundle(find_bundles(SHIPPED)[PAPER_BUNDLE])
        task = folder / "task.safetensors"
        task.write_bytes(task_of(Backbone(bundle, open_engine(bundle, "onnx")), pictures).to_bytes())
        made = {
            "folder": (_filled(folder / "files", pictures[0], arguments.files), arguments.files),
            "zip": (_packed(folder / "members.zip", pictures[0], arguments.members), arguments.members),
        }
        print("source, images; s to list; then of the killed process and of the next one: s, s of processor time, MB of memory")
        rows = []
        for name, (source, images) in made.items():
            rows.append(row := _row(name, source, images, task))
            print(f"{name:<8}{images:>9}{row.listed:>8.1f}{_told(row.killed)}, {row.done} done;{_told(row.whole)}", flush=True)
    write_json(arguments.json, [asdict(row) for row in rows])


def _told(call: Call) -> str:
    return f"{call.seconds:>8.1f}{call.processor:>8.1f}{call.megabytes:>6.0f}"


def _row(name: str, source: Path, images: int, task: Path) -> Row:
    out = source.with_name(f"{name}.parquet")
    under_way = out.with_name(f"{out.name}.under-way")
    command = [sys.executable, "-m", "headstart", "score", str(source), "--task", str(task), "--out", str(out)]

    def done() -> int:
        return len([*under_way.glob("[0-9]*.parquet")])

    first = _Process(command)
    first.wait_for((under_way / "plan.json").exists)
    listed = first.seconds()
    first.wait_for(lambda: done() * PART >= images / 2)
    there = min(images, done() * PART)
    killed = first.ended(signal.SIGKILL)
    whole = _Process(command).ended()
    paths = pq.read_table(out, columns=["path"])["path"]
    if len(paths) != images or len(paths.unique()) != images:
        raise SystemExit(f"{name}: {len(paths)} rows of {len(paths.unique())} images")
    return Row(name, images, listed, there, killed, whole, out.stat().st_size / 1e6)


class _Process:
    """A process that is waited for only at its end, which tells what it took."""

    def __init__(self, command: Sequence[str]) -> None:
        self._started = time.perf_counter()
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 -- ours

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def wait_for(self, there: Callable[[], bool]) -> None:
        """Waits until that is so, or the process has ended."""
        while not there() and os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.01)

    def ended(self, by: signal.Signals | None = None) -> Call:
        if by:
            os.kill(self._process.pid, by)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return Call(self.seconds(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    files = [folder / f"{at}.png" for at in range(_PICTURES)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    return files


def _filled(root: Path, picture: Path, images: int) -> Path:
    """Makes a folder of folders. A file system that counts links as ext4 does allows 65,000 of a file, so each has its own."""
    for at in range(images):
        folder = root / f"{at // _FOLDER:04}"
        file = folder / f"{at:07}.png"
        if at % _FOLDER == 0:
            folder.mkdir(parents=True)
            file.write_bytes(picture.read_bytes())
            empty = folder / ".empty"
            empty.touch()
        else:
            os.link(empty, file)
    return root


def _packed(file: Path, picture: Path, images: int) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for at in range(images):
            archive.writestr(f"{at // _FOLDER:04}/{at:07}.png", picture.read_bytes() if at % _FOLDER == 0 else b"")
    return file


if __name__ == "__main__":
    main()
