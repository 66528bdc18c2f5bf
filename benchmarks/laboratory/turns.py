"""Turns: all contestants train a little at a time, so that the machine's other work affects them alike."""

from collections.abc import Iterator

_TURN_SECONDS = 20.0
_FIRST_SHARE, _GROWTH, _LARGEST_SHARE = 1 / 240, 1.5, 1 / 8


def turns(budget: float) -> Iterator[tuple[float, bool]]:
    """Yields the end of each round of turns, in seconds of training, and whether accuracy is measured then."""
    end, mark = 0.0, _FIRST_SHARE * budget
    while end < budget:
        end = min(end + _TURN_SECONDS, mark)
        yield end, end == mark
        if end == mark:
            mark = min(mark + min((_GROWTH - 1.0) * mark, _LARGEST_SHARE * budget), budget)
