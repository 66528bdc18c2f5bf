"""The report of `benchmarks.laboratory sharing`: JSON for programs, tables and plots for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.laboratory.sharing_learners import ALONE, Contestant
from training.writing import replace_text

_HEADER = "| method | accuracy % | less alone | tasks that lose | most lost | parameters | ms a step | steps | peak MB |"


@dataclass(frozen=True)
class Measured:
    """One measurement: training so far, and the accuracy on the held-out images of each task."""

    seconds: float
    steps: int
    accuracy: list[float]


@dataclass
class Progress:
    """A contestant's measurements, the bytes of a training step at most, and the parameters that use needs."""

    memory: int
    parameters: int
    points: list[Measured] = field(default_factory=list)

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Self:
        """Returns the progress whose `dataclasses.asdict` that is."""
        return cls(**{**state, "points": [Measured(**point) for point in state["points"]]})


class SharingReport:
    """Writes what is known of all contestants to a folder."""

    def __init__(
        self,
        folder: Path,
        protocol: Mapping[str, str | int | float],
        tasks: Sequence[str],
        contestants: Mapping[str, Contestant],
        progress: Mapping[str, Progress],
    ) -> None:
        self._folder = folder
        self._protocol = protocol
        self._tasks = tasks
        self._contestants = contestants
        self._progress = progress

    def write(self) -> None:
        """Writes results.jsonl, table.md, curves.png and transfer.png; an interrupted run leaves those of its last round."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(self._line(name, last)) for name, last in self._last().items()]
        replace_text(self._folder / "results.jsonl", "".join(f"{line}\n" for line in lines))
        replace_text(self._folder / "table.md", self.table() + "\n")
        self._draw_curves()
        self._draw_transfer()

    def table(self) -> str:
        """Returns two tables in Markdown: a row per method, and its transfer to each task where the tasks alone are measured.

        Differences are in points of per cent.
        """
        protocol = ", ".join(f"{key} {value}" for key, value in self._protocol.items())
        rows = [self._row(name, last) for name, last in self._last().items()]
        parts = [protocol, "", _HEADER, "|---" * (_HEADER.count("|") - 1) + "|", *rows]
        if transfers := self._transfers():
            parts += [
                "",
                "Accuracy less that of the task's own network, in points:",
                "",
                f"| method | {' | '.join(self._tasks)} |",
            ]
            parts += ["|---" * (len(self._tasks) + 1) + "|"]
            parts += [f"| {name} | {' | '.join(f'{100 * value:+.1f}' for value in row)} |" for name, row in transfers.items()]
        return "\n".join(parts)

    def _last(self) -> dict[str, Measured]:
        return {name: progress.points[-1] for name, progress in self._progress.items() if progress.points}

    def _transfers(self) -> dict[str, Any]:
        """Returns each method's accuracy less that of the networks alone, (T,); empty before those are measured."""
        last = self._last()
        if ALONE not in last:
            return {}
        alone = np.array(last[ALONE].accuracy)
        return {name: np.array(point.accuracy) - alone for name, point in last.items() if name != ALONE}

    def _line(self, name: str, last: Measured) -> dict[str, Any]:
        """Returns the method's line of results.jsonl; accuracies are shares of one."""
        progress, transfer = self._progress[name], self._transfers().get(name)
        return {
            "experiment": "sharing",
            "method": name,
            "source": self._contestants[name].source,
            "accuracy": float(np.mean(last.accuracy)),
            "tasks": dict(zip(self._tasks, last.accuracy, strict=True)),
            "transfer": None if transfer is None else dict(zip(self._tasks, transfer.tolist(), strict=True)),
            "parameters": progress.parameters,
            "peak_bytes": progress.memory,
            "steps": last.steps,
            "seconds": last.seconds,
            "seconds_per_step": last.seconds / max(last.steps, 1),
            "curve": [[point.seconds, float(np.mean(point.accuracy))] for point in progress.points],
        }

    def _row(self, name: str, last: Measured) -> str:
        progress, transfer = self._progress[name], self._transfers().get(name)
        cells = (
            name,
            f"{100 * np.mean(last.accuracy):.1f}",
            "" if transfer is None else f"{100 * transfer.mean():+.1f}",
            "" if transfer is None else f"{int((transfer < 0).sum())}",
            "" if transfer is None else f"{100 * min(transfer.min(), 0.0):.1f}",
            f"{progress.parameters:,}",
            f"{1000 * last.seconds / max(last.steps, 1):.0f}",
            str(last.steps),
            f"{progress.memory / 1e6:.0f}",
        )
        return f"| {' | '.join(cells)} |"

    def _draw_curves(self) -> None:
        figure = Figure(figsize=(11, 6), layout="constrained")
        axes = figure.subplots()
        axes.set_prop_cycle(color=mpl.colormaps["tab20"].colors)  # type: ignore[attr-defined]
        for number, (name, progress) in enumerate(self._progress.items()):
            if progress.points:
                values = [100 * float(np.mean(point.accuracy)) for point in progress.points]
                style = "-" if number < 20 else "--"
                axes.plot([point.seconds for point in progress.points], values, style, marker=".", label=name)
        axes.set(title="Mean over tasks, held-out images", xlabel="seconds of training", ylabel="accuracy (%)", xscale="log")
        axes.grid(alpha=0.3, which="both")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
        figure.savefig(self._folder / "curves.png", dpi=120)

    def _draw_transfer(self) -> None:
        """Draws the matrix of methods and tasks: red where sharing costs accuracy."""
        transfers = self._transfers()
        if not transfers:
            return
        points = 100 * np.stack(list(transfers.values()))
        most = max(float(np.abs(points).max()), 1.0)
        figure = Figure(figsize=(3 + 0.5 * len(self._tasks), 2.5 + 0.3 * len(points)), layout="constrained")
        axes = figure.subplots()
        picture = axes.imshow(points, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
        axes.set_xticks(range(len(self._tasks)), self._tasks, rotation=60, ha="right", fontsize="small")
        axes.set_yticks(range(len(points)), list(transfers), fontsize="small")
        figure.colorbar(picture, label="accuracy less that of the task alone, points")
        figure.savefig(self._folder / "transfer.png", dpi=120)
