"""Values that several replies have."""

from collections.abc import Mapping, Sequence
from typing import Any

JsonObject = Mapping[str, Any]

Interval = tuple[float, float]


def interval(pair: Sequence[float] | None) -> Interval | None:
    """A 95 % interval from its JSON array; None where the reply has none."""
    if pair is None:
        return None
    low, high = pair
    return low, high
