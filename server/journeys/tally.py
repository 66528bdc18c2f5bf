"""What left-out verdicts come to: how many were right, which share that is, and how far from the truth it may be."""

from dataclasses import dataclass, replace

import numpy as np

from models.arrays import Ints
from models.heads.leave_one_out import LeftOut
from server.journeys.intervals import Interval, left_out_accuracy


@dataclass(frozen=True, slots=True)
class Tally:
    """Of a class, or of all.

    Attributes:
        groups: how many the examples form, of those that are left out together.
        judged: how many examples could be judged.
        recognised: how many of those were recognised.
        accuracy: which share that is, each group counting as one; None if none was judged.
        interval: that of the accuracy on further images, as many of each class, at 95 %. What cannot be judged makes it wider.
    """

    groups: int
    judged: int
    recognised: int
    accuracy: float | None
    interval: Interval | None


def tally(left_out: LeftOut, labels: Ints) -> tuple[Tally, list[Tally]]:
    """All together, and class by class.

    Args:
        labels: (n,) in [0, K).
    """
    ways = left_out.probabilities.shape[1]
    right = left_out.judged & (left_out.verdicts(labels) == labels)
    groups = left_out.groups_of_classes(labels)
    judged, recognised, worth, right_worth = (
        np.bincount(labels, weights, ways)
        for weights in (left_out.judged, right, left_out.weights * left_out.judged, left_out.weights * right)
    )
    seen = 1.0 - np.maximum(1.0 / groups, 1.0 / left_out.folds if left_out.folds else 0.0)
    classes = [_tally(*counts) for counts in zip(groups, judged, recognised, worth, right_worth, seen, strict=True)]
    total = worth.sum()
    of_all = float(worth @ seen / total) if total else 0.0
    return _with_unjudged(
        _tally(groups.sum(), judged.sum(), recognised.sum(), total, right_worth.sum(), of_all), float((judged == 0).mean())
    ), classes


def _with_unjudged(found: Tally, unknown: float) -> Tally:
    """Of a share of the classes nothing is known: between none and all of their images may be recognised."""
    if found.interval is None:
        return found
    low, high = found.interval
    return replace(found, interval=((1.0 - unknown) * low, (1.0 - unknown) * high + unknown))


def _tally(groups: float, judged: float, recognised: float, worth: float, right: float, seen: float) -> Tally:
    share = float(right / worth) if worth else None
    interval = left_out_accuracy(float(right), float(worth), float(seen))
    return Tally(int(groups), int(judged), int(recognised), share, interval)
