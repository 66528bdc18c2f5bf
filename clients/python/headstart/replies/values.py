"""Values that several replies have."""

from collections.abc import Mapping, Sequence
from typing import Any

JsonObject = Mapping[str, Any]

LabelSet = tuple[str, ...]
"""The labels of an image, in a task in which an image may have any number of them."""

Interval = tuple[float, float]


def label_set(labels: Sequence[str] | None) -> LabelSet | None:
    """Labels from their JSON array; None where the reply has none, since an image of the task has one label."""
    return None if labels is None else tuple(labels)


def interval(pair: Sequence[float] | None) -> Interval | None:
    """A 95 % interval from its JSON array; None where the reply has none."""
    if pair is None:
        return None
    low, high = pair
    return low, high
