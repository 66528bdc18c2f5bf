"""Ways to fit a task's last layer, side by side, as frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from headstart.replies.quality import Interval
from headstart.replies.tasks import Head, JsonObject


@dataclass(frozen=True, slots=True)
class Difference:
    """What a candidate does beside the active version, on the same examples.

    Attributes:
        accuracy, interval: the candidate's less the active version's, with its 95 % interval.
        gained: how many examples the candidate alone recognises.
        lost: how many the active version alone recognises.
        log_loss, log_loss_interval: likewise the candidate's less the active version's, less than 0 being better; the interval is
            None for fewer than five examples.
    """

    accuracy: float
    interval: Interval
    gained: int
    lost: int
    log_loss: float
    log_loss_interval: Interval | None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        low, high = body["interval"]
        losses = body["log_loss_interval"]
        return cls(
            accuracy=body["accuracy"],
            interval=(low, high),
            gained=body["gained"],
            lost=body["lost"],
            log_loss=body["log_loss"],
            log_loss_interval=None if losses is None else (losses[0], losses[1]),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one way: each example was judged by a head fitted so without it.

    Attributes:
        method: `leave-one-out`, or `20 folds` where that would take too long.
        judged: how many examples could be judged: all but those that are alone in their class.
        accuracy, interval: the share of those that were recognised, with its 95 % interval; None if none was judged.
        log_loss: how unsure it was of the examples' own labels: 0 for being sure and right.
        difference: to the active version; None of that itself, and if nothing was judged.
        milliseconds: what judging it took, without embedding.
    """

    backbone: str
    head: Head
    method: str
    judged: int
    recognised: int
    accuracy: float | None
    interval: Interval | None
    log_loss: float | None
    difference: Difference | None
    milliseconds: float

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        interval, difference = body["interval"], body["difference"]
        return cls(
            backbone=body["backbone"],
            head=Head.from_json(body["head"]),
            method=body["method"],
            judged=body["judged"],
            recognised=body["recognised"],
            accuracy=body["accuracy"],
            interval=None if interval is None else (interval[0], interval[1]),
            log_loss=body["log_loss"],
            difference=None if difference is None else Difference.from_json(difference),
            milliseconds=body["milliseconds"],
        )


@dataclass(frozen=True, slots=True)
class Untried:
    """A candidate that could not be tried, in its place among the others."""

    backbone: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidates beside a task's active version; nothing was changed.

    Attributes:
        current: the active version as it is.
        candidates: in the order asked; the advice counts them from 1.
        best: what recognised most examples and, of as many, was surest of their labels; `current` where no candidate is better.
        advice: which is better, and whether chance would explain it, in a sentence.
        raw: the JSON as it arrived.
    """

    task: str
    version: int
    current: Trial
    candidates: tuple[Trial | Untried, ...]
    best: Trial
    advice: str
    timing_ms: Mapping[str, float]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        current, *candidates = body["candidates"]
        return cls(
            task=body["task"],
            version=body["version"],
            current=Trial.from_json(current),
            candidates=tuple(_candidate(each) for each in candidates),
            best=Trial.from_json(body["candidates"][body["best"]]),
            advice=body["advice"],
            timing_ms=body["timing_ms"],
            raw=body,
        )


def _candidate(body: JsonObject) -> Trial | Untried:
    if "error" in body:
        return Untried(body["backbone"], body["error"]["code"], body["error"]["detail"])
    return Trial.from_json(body)
