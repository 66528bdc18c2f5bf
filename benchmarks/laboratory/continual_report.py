"""The report of `benchmarks.laboratory continual`: JSON for programs, a table and forgetting curves for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.writing import replace_text

_HEADER = "| method | average accuracy % | when learned % | forgetting, points | steps | seconds | kept of old tasks, MB |"


@dataclass
class Record:
    """The figures of one method.

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


def write(folder: Path, protocol: Mapping[str, str | int | float], records: Mapping[str, Record]) -> None:
    """Writes results.jsonl, table.md and forgetting.png; methods that have learned nothing yet are left out."""
    known = {name: record for name, record in records.items() if record.accuracy}
    lines = [json.dumps({"experiment": "continual", "method": name, **_figures(record)}) for name, record in known.items()]
    replace_text(folder / "results.jsonl", "".join(f"{line}\n" for line in lines))
    replace_text(folder / "table.md", table(protocol, known) + "\n")
    _draw(folder / "forgetting.png", known)


def _figures(record: Record) -> dict[str, object]:
    means = {"average_accuracy": record.average(), "when_learned": record.when_learned(), "forgetting": record.forgetting()}
    return {**means, **asdict(record)}


def table(protocol: Mapping[str, str | int | float], records: Mapping[str, Record]) -> str:
    """Returns the table in Markdown, a row per method."""
    rows = [
        f"| {name} | {100 * record.average():.1f} | {100 * record.when_learned():.1f} | {100 * record.forgetting():.1f} "
        f"| {sum(record.steps)} | {sum(record.seconds):.0f} | {record.remembered[-1] / 1e6:.1f} |"
        for name, record in records.items()
    ]
    settings = ", ".join(f"{key} {value}" for key, value in protocol.items())
    return "\n".join((settings, "", _HEADER, "|---" * (_HEADER.count("|") - 1) + "|", *rows))


def _draw(path: Path, records: Mapping[str, Record]) -> None:
    """Draws the mean accuracy on all tasks so far, and that on the first task, against the number of tasks learned."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, title in zip(figure.subplots(1, 2), ("all tasks so far", "the first task"), strict=True):
        for name, record in records.items():
            rows = [row[:1] if title == "the first task" else row for row in record.accuracy]
            axes.plot(range(1, len(rows) + 1), [100 * np.mean(row) for row in rows], marker=".", label=name)
        axes.set(title=title, xlabel="tasks learned", ylabel="accuracy (%)")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
