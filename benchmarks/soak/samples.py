"""The figures that are read of the server's processes during a soak, and how fast each grows."""

import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import psutil
from scipy.stats import theilslopes

_MOMENTS = 30


@dataclass(frozen=True)
class Sample:
    """The figures of the server and its children at a time, in sum; memory and database in MB.

    Attributes:
        seconds: since the start.
        anonymous: resident memory that belongs to no file, which is what a program asks for. Nothing else depends on whether
            other programs of the machine use the same libraries at the time.
        server_anonymous: that of the server without its children.
        pss, uss, rss: resident memory with each shared page divided by those who share it; with pages of their own alone; with
            all pages.
    """

    seconds: float
    anonymous: float
    server_anonymous: float
    pss: float
    uss: float
    rss: float
    descriptors: int
    threads: int
    processes: int
    database: float
    requests: int


@dataclass(frozen=True)
class Slope:
    """The growth per hour and its 95 % interval."""

    per_hour: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.per_hour:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def read_sample(server: int, folder: Path, began: float, requests: int) -> Sample:
    """Returns what the processes have now. Raises psutil.NoSuchProcess if the server has ended."""
    memories, descriptors, threads = [], 0, 0
    parent = psutil.Process(server)
    for process in (parent, *parent.children(recursive=True)):
        try:
            descriptors += process.num_fds()
            threads += process.num_threads()
            memories.append(_memory(process.pid))
        except (psutil.NoSuchProcess, OSError):
            if process is parent:
                raise psutil.NoSuchProcess(server) from None
    anonymous, pss, uss, rss = (sum(column) for column in zip(*memories, strict=True))
    database = sum(file.stat().st_size for file in folder.glob("headstart.db*")) / 1e6
    seconds = time.monotonic() - began
    return Sample(seconds, anonymous, memories[0][0], pss, uss, rss, descriptors, threads, len(memories), database, requests)


def _memory(process: int) -> tuple[float, float, float, float]:
    """Returns anonymous memory, PSS, USS and RSS of a process, in MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) * 1024 / 1e6 for name, _, size in (line.partition(":") for line in lines)}
    return sizes["Anonymous"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Rss"]


def slope(samples: Sequence[Sample], name: str) -> Slope:
    """Returns how fast a quantity grows: Theil and Sen's median of slopes (Sen 1968) over 30 moments of equal length.

    The least of each moment stands for it: that is what stays when no request needs more. Neighbouring samples are alike, and as
    samples of their own would make the interval too narrow.
    """
    moments = np.array_split(np.arange(len(samples)), min(_MOMENTS, len(samples)))
    hours = [float(np.median([samples[i].seconds for i in moment])) / 3600 for moment in moments]
    values = [float(min(getattr(samples[i], name) for i in moment)) for moment in moments]
    found = theilslopes(values, hours)
    return Slope(*(float(value) for value in (found.slope, found.low_slope, found.high_slope)))


class SampleFile:
    """A CSV file of samples, which is complete after every one of them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="")
        self._rows = csv.DictWriter(self._file, [field.name for field in fields(Sample)])
        self._rows.writeheader()

    def add(self, sample: Sample) -> None:
        """Writes a sample."""
        self._rows.writerow({name: round(value, 3) for name, value in asdict(sample).items()})
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
