"""The record of `benchmarks.training_cost`: JSON for programs, a plot and a table for people."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.training.cost_evaluation import SHOTS, Accuracy

REFERENCE = "MTL"

# Novel-class accuracy on CIFAR-FS of Conv-4 with 64 channels (MAML: 32), shots -> share. ProtoNet, R2D2, MAML: the first
# version of arXiv:1805.08136; ANIL: the results of PaddleFSL, of first order. MetaOptNet was published with ResNet-12 only.
PUBLISHED = {
    "ProtoNet": {1: 0.555, 5: 0.720},
    "R2D2": {1: 0.600, 5: 0.761},
    "ANIL": {1: 0.562, 5: 0.686},
    "MAML": {1: 0.589, 5: 0.715},
}

_HEADER = (
    "| method | shots | steps | images | images/s | validation % | head | seconds to it | {0} to the same, s | ratio | novel % "
    "| published % |"
)

Scores = dict[int, dict[str, Accuracy]]


@dataclass(frozen=True)
class Point:
    """One measurement: training so far, and shots -> head -> accuracy."""

    seconds: float
    steps: int
    images: int
    scores: Scores

    def best(self, shots: int) -> tuple[str, Accuracy]:
        """Returns the better of the heads."""
        return best_head(self.scores, shots)


@dataclass
class Curve:
    """A method's measurements on validation classes, and the last network's on novel classes."""

    points: list[Point] = field(default_factory=list)
    novel: Scores | None = None

    def best(self, shots: int) -> Point:
        """Returns the first of the most accurate points."""
        return max(self.points, key=lambda point: point.best(shots)[1][0])

    def seconds_to(self, accuracy: float, shots: int) -> float | None:
        """Returns when the curve first reaches `accuracy`, on straight lines between measurements; None if it never does.

        Nothing is known below the first measurement, so its time is the answer for every lower accuracy.
        """
        before: tuple[float, float] | None = None
        for point in self.points:
            value = point.best(shots)[1][0]
            if value >= accuracy:
                if before is None:
                    return point.seconds
                return float(np.interp(accuracy, (before[1], value), (before[0], point.seconds)))
            before = point.seconds, value
        return None


class Report:
    """Collects measurements and writes them to a folder."""

    def __init__(self, folder: Path, protocol: dict[str, str | int | float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._protocol = protocol
        self._curves: dict[str, Curve] = {}

    def add(self, method: str, point: Point) -> None:
        """Takes a measurement on validation classes."""
        self._curves.setdefault(method, Curve()).points.append(point)

    def finish(self, method: str, novel: Scores) -> None:
        """Takes the measurement on novel classes."""
        self._curves[method].novel = novel

    def write(self) -> None:
        """Writes results.json, curves.png and table.md; an interrupted run leaves those of its last round."""
        results = {"protocol": self._protocol, "methods": {name: asdict(curve) for name, curve in self._curves.items()}}
        temporary = self._folder / "results.json.tmp"
        temporary.write_text(json.dumps(results, indent=1))
        temporary.replace(self._folder / "results.json")
        (self._folder / "table.md").write_text(self.table() + "\n")
        self._draw(self._folder / "curves.png")

    def table(self) -> str:
        """Returns the table in Markdown, a row per method and number of shots."""
        protocol = ", ".join(f"{key} {value}" for key, value in self._protocol.items())
        header = _HEADER.format(REFERENCE)
        rows = [self._row(name, curve, shots) for shots in SHOTS for name, curve in self._curves.items()]
        return "\n".join((protocol, "", header, "|---" * (header.count("|") - 1) + "|", *rows))

    def _row(self, name: str, curve: Curve, shots: int) -> str:
        best, last = curve.best(shots), curve.points[-1]
        head, (accuracy, ci95) = best.best(shots)
        reference = self._curves.get(REFERENCE)
        needed = reference.seconds_to(accuracy, shots) if reference else None
        # Novel classes choose nothing: their head is the one that did best on the validation classes at the end.
        novel = "" if curve.novel is None else _percent(*curve.novel[shots][last.best(shots)[0]])
        published = PUBLISHED.get(name, {}).get(shots)
        cells = (
            name,
            str(shots),
            str(last.steps),
            str(last.images),
            f"{last.images / last.seconds:.0f}",
            _percent(accuracy, ci95),
            head,
            f"{best.seconds:.0f}",
            "never" if needed is None else f"{needed:.0f}",
            "" if needed is None else f"{best.seconds / needed:.1f}",
            novel,
            "" if published is None else f"{100 * published:.1f}",
        )
        return "| " + " | ".join(cells) + " |"

    def _draw(self, path: Path) -> None:
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        for axes, shots in zip(figure.subplots(1, len(SHOTS)), SHOTS, strict=True):
            for name, curve in self._curves.items():
                seconds = [point.seconds for point in curve.points]
                values, margins = np.array([point.best(shots)[1] for point in curve.points]).T * 100
                axes.plot(seconds, values, marker=".", label=name)
                axes.fill_between(seconds, values - margins, values + margins, alpha=0.12)
            axes.set(title=f"5-way {shots}-shot, validation classes", xlabel="seconds of training", ylabel="accuracy (%)")
            axes.set_xscale("log")
            axes.grid(alpha=0.3, which="both")
            axes.legend()
        figure.savefig(path, dpi=120)


def best_head(scores: Scores, shots: int) -> tuple[str, Accuracy]:
    """Returns the most accurate head at that number of shots."""
    return max(scores[shots].items(), key=lambda item: item[1][0])


def _percent(accuracy: float, ci95: float) -> str:
    return f"{100 * accuracy:.1f} ± {100 * ci95:.1f}"
