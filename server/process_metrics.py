"""The metrics of all processes of a server together: of those that serve, and of those that were replaced."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.registry import Collector

_ALIKE = frozenset({"process_start_time_seconds", "process_max_fds"})  # of which a sum says nothing
_CPU = "process_cpu_seconds"
_TIMES = slice(11, 15)  # in /proc/PID/stat after the name: its own time, as user and system, and that of children that ended
_ADDED_UP = ("counter", "histogram")
_ENDED = "ended"


class Processes(Collector):
    """The usual `process_…` metrics of this process, its siblings and their parent together.

    The memory that processes share counts for each of them. Processor time includes that of processes that were replaced: it
    never falls.
    """

    def collect(self) -> Iterator[Metric]:
        pids, each, seconds = _read()
        while pids != _family():  # One that ends meanwhile is counted twice or not at all.
            pids, each, seconds = _read()
        for name in each[0]:
            values = [metric.samples[0].value for process in each if (metric := process.get(name)) and metric.samples]
            combined = seconds if name == _CPU else min(values) if name in _ALIKE else sum(values)
            kind = CounterMetricFamily if each[0][name].type == "counter" else GaugeMetricFamily
            yield kind(name, each[0][name].documentation, value=combined)


def fold_ended(folder: Path) -> None:
    """Adds what replaced processes have counted to one file a kind, and removes their files, which would only grow in number.

    One process alone may do so, and nobody may read the files meanwhile.

    Args:
        folder: of prometheus_client's files.
    """
    files = [file for kind in _ADDED_UP for file in folder.glob(f"{kind}_*.db") if file.stat().st_size]
    living = {_ENDED, *map(str, _family())}  # asked after the files: one that comes meanwhile is no ended one
    for kind in _ADDED_UP:
        ended = [file for file in files if (parts := file.stem.split("_"))[0] == kind and parts[-1] not in living]
        if ended:
            _add_up(folder / f"{kind}_{_ENDED}.db", ended)


def _add_up(whole: Path, ended: Iterable[Path]) -> None:
    sums: defaultdict[str, float] = defaultdict(float)
    for file in (whole, *ended):
        if file.exists():
            for key, value, _, _ in MmapedDict.read_all_values_from_file(file):  # type: ignore[no-untyped-call]
                sums[key] += value
    made = whole.with_suffix(".new")
    made.unlink(missing_ok=True)
    written = MmapedDict(str(made))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    made.replace(whole)
    for file in ended:
        file.unlink()


def _family() -> tuple[int, ...]:
    """Returns the ids of the process that started this one, and of all that it has started."""
    parent = os.getppid()
    return (parent, *map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


def _read() -> tuple[tuple[int, ...], list[dict[str, Metric]], float]:
    """Returns the processes, the metrics of each by name, and the seconds of processor time of all that ever were."""
    pids = _family()
    each = [{metric.name: metric for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect()} for pid in pids]
    return pids, each, sum(map(_seconds, pids))


def _seconds(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # It has ended, and its parent's time includes its own.
        return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[_TIMES])) / os.sysconf("SC_CLK_TCK")
