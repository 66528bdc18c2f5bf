"""The report of `benchmarks.laboratory meta`: JSON for programs, plots and a table for people."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.laboratory.evaluation import SHOTS
from benchmarks.laboratory.learners import REFERENCE, Contestant
from benchmarks.laboratory.record import Accuracy, Curve
from training.writing import replace_text

_HEADER = (
    "| method | family | shots | steps | ms a step | images/s | peak MB | validation % | head | seconds to it "
    f"| seconds to {REFERENCE}'s last | {REFERENCE} to the same, s | novel % | published % | difference |"
)


class Report:
    """Writes the curves of all contestants to a folder."""

    def __init__(
        self,
        folder: Path,
        protocol: dict[str, str | int | float],
        contestants: Mapping[str, Contestant],
        curves: dict[str, Curve],
    ) -> None:
        self._folder = folder
        self._protocol = protocol
        self._contestants = contestants
        self._curves = curves

    def write(self) -> None:
        """Writes results.jsonl, table.md, curves.png and memory.png; an interrupted run leaves those of its last round."""
        lines = [json.dumps(self._line(name, curve)) for name, curve in self._measured()]
        replace_text(self._folder / "results.jsonl", "".join(f"{line}\n" for line in lines))
        replace_text(self._folder / "table.md", self.table() + "\n")
        self._draw("curves.png", self._against_seconds)
        self._draw("memory.png", self._against_memory)

    def table(self) -> str:
        """Returns the table in Markdown, a row per method and number of shots, and the sources of what was published."""
        protocol = ", ".join(f"{key} {value}" for key, value in self._protocol.items())
        rows = [self._row(name, curve, shots) for shots in SHOTS for name, curve in self._measured()]
        sources = [f"- {name}: {self._contestants[name].published.source}." for name, _ in self._measured() if name != REFERENCE]
        published = ("", "Published figures:", "", *sources) if sources else ()
        return "\n".join((protocol, "", _HEADER, "|---" * (_HEADER.count("|") - 1) + "|", *rows, *published))

    def _measured(self) -> Iterator[tuple[str, Curve]]:
        return ((name, curve) for name, curve in self._curves.items() if curve.points)

    def _line(self, name: str, curve: Curve) -> dict[str, Any]:
        """Returns the method's line of results.jsonl; accuracies are shares of one, with half-widths of 95 % intervals."""
        last = curve.points[-1]
        published = self._contestants[name].published
        shots = {
            count: {
                "validation": curve.best(count).best(count)[1],
                "novel": self._novel(curve, count),
                "published": published.accuracy.get(count),
                "seconds_to_reference": self._until_reference(curve, count),
                "reference_seconds_to_it": self._reference_until(curve, count),
            }
            for count in SHOTS
        }
        return {
            "experiment": "meta",
            "method": name,
            "family": self._contestants[name].family,
            "seconds": last.seconds,
            "steps": last.steps,
            "images": last.images,
            "peak_bytes": curve.memory,
            "source": published.source,
            "shots": shots,
            "curve": [asdict(point) for point in curve.points],
        }

    def _row(self, name: str, curve: Curve, shots: int) -> str:
        best, last = curve.best(shots), curve.points[-1]
        head, accuracy = best.best(shots)
        novel = self._novel(curve, shots)
        published = self._contestants[name].published.accuracy.get(shots)
        cells = (
            name,
            self._contestants[name].family,
            str(shots),
            str(last.steps),
            f"{1000 * last.seconds / last.steps:.0f}",
            f"{last.images / last.seconds:.0f}",
            f"{curve.memory / 1e6:.0f}",
            _percent(accuracy),
            head,
            f"{best.seconds:.0f}",
            _seconds(self._until_reference(curve, shots)),
            _seconds(self._reference_until(curve, shots)),
            "" if novel is None else _percent(novel),
            "" if published is None else f"{100 * published:.1f}",
            "" if novel is None or published is None else f"{100 * (novel[0] - published):+.1f}",
        )
        return "| " + " | ".join(cells) + " |"

    @staticmethod
    def _novel(curve: Curve, shots: int) -> Accuracy | None:
        """Novel classes choose nothing: their head is the one that did best on the validation classes at the end."""
        return None if curve.novel is None else curve.novel[shots][curve.points[-1].best(shots)[0]]

    def _until_reference(self, curve: Curve, shots: int) -> float | None:
        """Returns when the method reaches the reference's last accuracy."""
        reference = self._curves.get(REFERENCE)
        return curve.seconds_to(reference.points[-1].best(shots)[1][0], shots) if reference and reference.points else None

    def _reference_until(self, curve: Curve, shots: int) -> float | None:
        """Returns when the reference reaches the method's best."""
        reference = self._curves.get(REFERENCE)
        return reference.seconds_to(curve.best(shots).best(shots)[1][0], shots) if reference else None

    def _draw(self, file: str, draw: Any) -> None:
        figure = Figure(figsize=(13, 5), layout="constrained")
        colours = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
        for axes, shots in zip(figure.subplots(1, len(SHOTS)), SHOTS, strict=True):
            axes.set_prop_cycle(color=colours)
            for name, curve in self._measured():
                draw(axes, name, curve, shots)
            axes.set(title=f"5-way {shots}-shot, validation classes", ylabel="accuracy (%)", xscale="log")
            axes.grid(alpha=0.3, which="both")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
        figure.savefig(self._folder / file, dpi=120)

    @staticmethod
    def _against_seconds(axes: Axes, name: str, curve: Curve, shots: int) -> None:
        values, margins = np.array([point.best(shots)[1] for point in curve.points]).T * 100
        seconds = [point.seconds for point in curve.points]
        axes.plot(seconds, values, marker=".", label=name)
        axes.fill_between(seconds, values - margins, values + margins, alpha=0.12)
        axes.set_xlabel("seconds of training")

    @staticmethod
    def _against_memory(axes: Axes, name: str, curve: Curve, shots: int) -> None:
        accuracy, margin = curve.best(shots).best(shots)[1]
        axes.errorbar(curve.memory / 1e6, 100 * accuracy, 100 * margin, fmt="o", label=name)
        axes.set_xlabel("peak memory of a training step (MB)")


def _percent(accuracy: Accuracy) -> str:
    return f"{100 * accuracy[0]:.1f} ± {100 * accuracy[1]:.1f}"


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f}"
