"""Comparisons of ways to fit a task's last layer, as frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from headstart.replies.tasks import Head
from headstart.replies.values import Interval, JsonObject, interval


@dataclass(frozen=True, slots=True)
class Difference:
    """A candidate's results less those of the active version, on the same examples.

    Attributes:
        accuracy, interval: the difference, with its 95 % interval.
        gained: how many examples only the candidate recognises.
        lost: how many examples only the active version recognises.
        log_loss, log_loss_interval: likewise; below 0 the candidate is better. The interval is None for fewer than five examples.
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
        return cls(
            accuracy=body["accuracy"],
            interval=(low, high),
            gained=body["gained"],
            lost=body["lost"],
            log_loss=body["log_loss"],
            log_loss_interval=interval(body["log_loss_interval"]),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """The results of one way: each example was judged by a head that was fitted without it.

    Attributes:
        method: `leave-one-out`, or `20 folds` where that would take too long.
        judged: how many examples could be judged: all except those that are alone in their class.
        accuracy, interval: the recognised share, with its 95 % interval; None if none was judged.
        log_loss: mean negative logarithm of the probability of each example's own label; 0 is best.
        difference: to the active version; None for the active version itself, and if nothing was judged.
        milliseconds: time that judging took, without embedding.
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
        difference = body["difference"]
        return cls(
            backbone=body["backbone"],
            head=Head.from_json(body["head"]),
            method=body["method"],
            judged=body["judged"],
            recognised=body["recognised"],
            accuracy=body["accuracy"],
            interval=interval(body["interval"]),
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
        candidates: in the order of the call; the advice counts them from 1.
        best: the way that recognised most examples; among equals, the lowest log-loss. `current` if no candidate is better.
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
    raw: JsonObject = field(repr=False, compare=False)

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
