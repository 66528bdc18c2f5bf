"""Fair timing on a machine that others use too: contestants take turns of a fraction of a second, so that its moods meet
them all, and what counts are the ratios within a round."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """The median over the rounds, and the least and the most."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Rates:
    """What each contestant did per second, round by round."""

    rounds: dict[str, Sequence[float]]

    def median(self, name: str) -> float:
        """The rate of one contestant."""
        return median(self.rounds[name])

    def ratio(self, name: str, to: str) -> Ratio:
        """How many times as much as the other it does in the same time."""
        ratios = [mine / other for mine, other in zip(self.rounds[name], self.rounds[to], strict=True)]
        return Ratio(median(ratios), min(ratios), max(ratios))


def race(contestants: Mapping[str, Callable[[int], object]], rounds: int = 5, seconds: float = 0.2) -> Rates:
    """Lets each contestant do its work over and over for about `seconds`, once a round.

    Args:
        contestants: each does its work as many times as it is told.
    """
    counts = {name: _count(run, seconds) for name, run in contestants.items()}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            rates[name].append(counts[name] / _time(run, counts[name]))
    return Rates(dict(rates))


def _count(run: Callable[[int], object], seconds: float) -> int:
    """How often the work is done in that time; what is done here also warms caches."""
    run(1)
    count = 1
    while (taken := _time(run, count)) < seconds / 4:
        count *= 4
    return max(1, round(count * seconds / taken))


def _time(run: Callable[[int], object], count: int) -> float:
    started = time.perf_counter()
    run(count)
    return time.perf_counter() - started
