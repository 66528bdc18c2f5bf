"""Left-out verdicts and what they come to: how many were right, which share that is, and how far from the truth it may be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.arrays import Ints
from models.heads.class_names import NamePrior, left_out_with_names
from models.heads.fitting import classes_of
from models.heads.head import EmbeddingSpace, Float32
from models.heads.leave_one_out import LeftOut, leave_one_out
from models.manifest import HeadOptions
from server.journeys.intervals import Interval, left_out_accuracy


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one class, or of all classes.

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


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The verdict on a head, by heads fitted without each of its n examples.

    Attributes:
        names: of the K classes.
        labels: (n,) in [0, K).
        left_out: what the other heads say of each example.
        of_all: all examples together.
        of_classes: K of them.
    """

    names: Sequence[str]
    labels: Ints
    left_out: LeftOut
    of_all: Tally
    of_classes: Sequence[Tally]


def judge_left_out(
    labels: Sequence[str],
    embeddings: Float32,
    space: EmbeddingSpace,
    options: HeadOptions,
    groups: Ints,
    names: NamePrior | None = None,
) -> Verdict:
    """Judges heads fitted with these options, each example by one that was fitted without its group.

    Args:
        labels, embeddings: of the n examples, the latter (n, D) in this space.
        groups: (n,) what is left out together.
        names: what the class names say, in the order of the classes' first examples, if they are part of the heads.
    """
    classes, indices = classes_of(labels)
    features = space.features(embeddings, options.centre)
    left_out = leave_one_out(features, indices, len(classes), options, groups)
    left_out = left_out_with_names(left_out, features, names)
    return Verdict(classes, indices, left_out, *tally(left_out, indices))


def tally(left_out: LeftOut, labels: Ints) -> tuple[Tally, list[Tally]]:
    """Returns all together, and class by class.

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
    classes = [tally_of(*counts) for counts in zip(groups, judged, recognised, worth, right_worth, seen, strict=True)]
    total = worth.sum()
    of_all = float(worth @ seen / total) if total else 0.0
    return with_unjudged(
        tally_of(groups.sum(), judged.sum(), recognised.sum(), total, right_worth.sum(), of_all), float((judged == 0).mean())
    ), classes


def with_unjudged(found: Tally, unknown: float) -> Tally:
    """Widens an interval for classes that could not be judged: between none and all of their images may be recognised."""
    if found.interval is None:
        return found
    low, high = found.interval
    return replace(found, interval=((1.0 - unknown) * low, (1.0 - unknown) * high + unknown))


def tally_of(groups: float, judged: float, recognised: float, worth: float, right: float, seen: float) -> Tally:
    """Returns the counts with accuracy and interval.

    Args:
        worth, right: the judged and the recognised, each group counting as one.
        seen: the share of their own class that the heads were fitted on.
    """
    share = float(right / worth) if worth else None
    interval = left_out_accuracy(float(right), float(worth), float(seen))
    return Tally(int(groups), int(judged), int(recognised), share, interval)
