"""Turns: all contestants train a little at a time, so that a run that was stopped early has as much of each."""

from collections.abc import Iterator

_TURN_SECONDS = 20.0
_FIRST_SHARE, _GROWTH = 1 / 60, 3.0


def turns(budget: float) -> Iterator[tuple[float, bool]]:
    """Yields the end of each round of turns, in seconds of training, and whether accuracy is measured then."""
    end, mark = 0.0, _FIRST_SHARE * budget
    while end < budget:
        end = min(end + _TURN_SECONDS, mark)
        yield end, end == mark
        if end == mark:
            mark = min(_GROWTH * mark, budget)
