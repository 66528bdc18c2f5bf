"""Values that several replies have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

JsonObject = Mapping[str, Any]

Interval = tuple[float, float]


def interval(pair: Sequence[float] | None) -> Interval | None:
    """A 95 % interval from its JSON array; None where the reply has none."""
    if pair is None:
        return None
    low, high = pair
    return low, high


def summed(timings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The milliseconds of each stage over several requests."""
    total: dict[str, float] = {}
    for timing in timings:
        for stage, milliseconds in timing.items():
            total[stage] = total.get(stage, 0.0) + milliseconds
    return total
