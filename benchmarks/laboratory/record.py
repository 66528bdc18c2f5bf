"""The state of each contestant, kept in a file of its own, so that an experiment goes on after it was stopped."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from training.writing import replace_text

Accuracy = tuple[float, float]  # and the half-width of its 95 % interval, shares of one
Scores = dict[int, dict[str, Accuracy]]


class OtherSettings(Exception):
    """The folder holds an experiment with other settings."""


@dataclass(frozen=True)
class Point:
    """One measurement: training so far, and shots -> head -> accuracy."""

    seconds: float
    steps: int
    images: int
    scores: Scores

    def best(self, shots: int) -> tuple[str, Accuracy]:
        """Returns the better of the heads."""
        return max(self.scores[shots].items(), key=lambda item: item[1][0])


@dataclass
class Curve:
    """A contestant's measurements on validation classes, and the last network's on novel classes.

    Attributes:
        memory: bytes of a training step at most; see `benchmarks.laboratory.memory`.
    """

    points: list[Point] = field(default_factory=list)
    novel: Scores | None = None
    memory: int = 0

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Self:
        """Returns the curve whose `dataclasses.asdict` that is."""
        return cls(**{**state, "points": [Point(**point) for point in state["points"]]})

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


class Folder:
    """The folder of an experiment, with a file for each contestant.

    Raises:
        OtherSettings: it was begun with other settings.
    """

    def __init__(self, folder: Path, protocol: dict[str, str | int | float]) -> None:
        self._kept = folder / "kept"
        self._kept.mkdir(parents=True, exist_ok=True)
        file = folder / "protocol.json"
        if file.exists() and json.loads(file.read_text()) != protocol:
            raise OtherSettings(f"{folder} holds a run with other settings ({file.name}); take another --out, or remove it")
        replace_text(file, json.dumps(protocol, indent=1))

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Keeps a contestant; a process that is killed leaves the file before."""
        file = self._file(name)
        temporary = file.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(file)

    def load(self, name: str) -> dict[str, Any] | None:
        """Returns what was kept of a contestant; None if nothing was."""
        file = self._file(name)
        return torch.load(file, weights_only=True) if file.exists() else None

    def _file(self, name: str) -> Path:
        return self._kept / f"{name}.pt"
