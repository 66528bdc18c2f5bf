"""The report of `benchmarks.laboratory continual`: JSON for programs, a table and forgetting curves for people."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from training.continual import frozen
from training.writing import replace_text

_REFERENCE = frozen.METHOD.name
_HEADER = (
    f"| method | chosen | seeds | average accuracy % | below {_REFERENCE}, points | when learned % | forgetting, points | steps "
    "| seconds | kept of old tasks, MB |"
)


@dataclass
class Record:
    """The figures of one method with one seed.

    Attributes:
        accuracy: row t has the accuracy on each task so far, once t + 1 tasks are learned.
        steps, seconds, remembered: of each task; seconds count consolidation too, remembered is in bytes.
    """

    accuracy: list[list[float]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    remembered: list[int] = field(default_factory=list)

    def add(self, accuracy: list[float], steps: int, seconds: float, remembered: int) -> None:
        """Takes the measurements after one more task."""
        self.accuracy.append(accuracy)
        self.steps.append(steps)
        self.seconds.append(seconds)
        self.remembered.append(remembered)

    def average(self) -> float:
        """Returns the mean accuracy on all tasks so far."""
        return float(np.mean(self.accuracy[-1]))

    def when_learned(self) -> float:
        """Returns the mean over tasks of the accuracy just after the task was learned."""
        return float(np.mean([row[-1] for row in self.accuracy]))

    def forgetting(self) -> float:
        """Returns the mean over earlier tasks of the best accuracy before the last task, less the accuracy now."""
        *before, now = self.accuracy
        if not before:
            return 0.0
        lost = [max(row[task] for row in before[task:]) - now[task] for task in range(len(before))]
        return float(np.mean(lost))


@dataclass
class Result:
    """A method's figures.

    Attributes:
        searched: hyper-parameter -> mean accuracy on the tasks that choose it; empty where there is nothing to choose.
        records: seed -> the figures.
    """

    searched: dict[str, float] = field(default_factory=dict)
    records: dict[int, Record] = field(default_factory=dict)

    @property
    def chosen(self) -> str:
        """The best hyper-parameter of the search; empty where there was none."""
        return max(self.searched, key=self.searched.__getitem__, default="")

    def alike(self) -> dict[int, Record]:
        """Returns the records that have learned as many tasks as any, by their seeds; a seed that is under way has fewer."""
        most = max(len(record.accuracy) for record in self.records.values())
        return {seed: record for seed, record in self.records.items() if len(record.accuracy) == most}

    def below(self, other: "Result") -> list[float]:
        """Returns how far the average accuracy is below another method's, for each seed in which both learned as many tasks."""
        ours, theirs = self.alike(), other.alike()
        both = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
        return [right.average() - left.average() for left, right in both if len(left.accuracy) == len(right.accuracy)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean over seeds and the half-width of its 95 % interval, by Student's t; infinite for one seed."""
    count = len(values)
    margin = stats.t.ppf(0.975, count - 1) * stats.sem(values) if count > 1 else math.inf
    return float(np.mean(values)), float(margin)


def write(folder: Path, protocol: Mapping[str, str | int | float], results: Mapping[str, Result]) -> None:
    """Writes results.jsonl, table.md and forgetting.png; every method has learned a task."""
    lines = [json.dumps({"experiment": "continual", "method": name, **_line(result)}) for name, result in results.items()]
    replace_text(folder / "results.jsonl", "".join(f"{line}\n" for line in lines))
    replace_text(folder / "table.md", table(protocol, results) + "\n")
    _draw(folder / "forgetting.png", {name: result.alike().values() for name, result in results.items()})


def _line(result: Result) -> dict[str, object]:
    """Returns the line of a method: figures are lists, a value for each seed."""
    alike = result.alike().values()
    figures = {
        "average_accuracy": [record.average() for record in alike],
        "when_learned": [record.when_learned() for record in alike],
        "forgetting": [record.forgetting() for record in alike],
    }
    return {"chosen": result.chosen, "searched": result.searched, **figures, "records": [asdict(record) for record in alike]}


def table(protocol: Mapping[str, str | int | float], results: Mapping[str, Result]) -> str:
    """Returns the table in Markdown, a row per method; figures are means over seeds."""
    first = results.get(_REFERENCE)
    below = {name: result.below(first) for name, result in results.items() if first and name != _REFERENCE}
    rows = [
        f"| {name} | {result.chosen} | {_cells(result.alike().values(), below.get(name))} |" for name, result in results.items()
    ]
    settings = ", ".join(f"{key} {value}" for key, value in protocol.items())
    return "\n".join((settings, "", _HEADER, "|---" * (_HEADER.count("|") - 1) + "|", *rows))


def _cells(records: Collection[Record], below: Sequence[float] | None) -> str:
    shares = zip(*((record.average(), record.when_learned(), record.forgetting()) for record in records), strict=True)
    average, *others = (_percent(*interval(values)) for values in shares)
    percent = (average, _percent(*interval(below)) if below else "", *others)
    steps = np.mean([sum(record.steps) for record in records])
    seconds = np.mean([sum(record.seconds) for record in records])
    kept = np.mean([record.remembered[-1] for record in records]) / 1e6
    return " | ".join((str(len(records)), *percent, f"{steps:.0f}", f"{seconds:.0f}", f"{kept:.1f}"))


def _percent(mean: float, margin: float) -> str:
    return f"{100 * mean:.1f}" + (f" ± {100 * margin:.1f}" if margin < math.inf else "")


def _draw(path: Path, records: Mapping[str, Collection[Record]]) -> None:
    """Draws the mean accuracy on all tasks so far, and that on the first task, against the number of tasks learned."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, title in zip(figure.subplots(1, 2), ("all tasks so far", "the first task"), strict=True):
        end = 1 if title == "the first task" else None
        for name, of_seeds in records.items():
            curves = [[100 * np.mean(row[:end]) for row in record.accuracy] for record in of_seeds]
            axes.plot(range(1, len(curves[0]) + 1), np.mean(curves, axis=0), marker=".", label=name)
        axes.set(title=title, xlabel="tasks learned", ylabel="accuracy (%)")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
