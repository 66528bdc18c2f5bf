"""Fair timing on a machine that others use too.

Contestants take turns of a fraction of a second, so that the machine's other work affects them all. The ratios within a round
count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

Contestant = Callable[[int], int]
"""Does its work about as many times as the argument says, and returns how many times it did."""


@dataclass(frozen=True)
class Ratio:
    """The median over the rounds, and the least and the most."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}, {self.most:.2f})"


@dataclass(frozen=True)
class Rates:
    """Each contestant's work per second, round by round."""

    rounds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Returns the median rate of one contestant."""
        return median(self.rounds[name])

    def ratio(self, name: str, to: str) -> Ratio:
        """Returns how many times as fast as the other a contestant is."""
        ratios = [mine / other for mine, other in zip(self.rounds[name], self.rounds[to], strict=True)]
        return Ratio(median(ratios), min(ratios), max(ratios))


def race(
    contestants: Mapping[str, Contestant], rounds: int = 5, seconds: float = 0.2, clock: Callable[[], float] = perf_counter
) -> Rates:
    """Lets each contestant do its work over and over for about `seconds`, once a round, and returns their rates."""
    counts = {name: _count(run, seconds, clock) for name, run in contestants.items()}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            done, taken = _timed(run, counts[name], clock)
            rates[name].append(done / taken)
    return Rates(rates)


def repeat(work: Callable[[], object]) -> Contestant:
    """Returns the contestant that does `work` exactly as often as the argument says."""

    def run(count: int) -> int:
        for _ in range(count):
            work()
        return count

    return run


def _count(run: Contestant, seconds: float, clock: Callable[[], float]) -> int:
    """Returns how often the work is done in that time. This run also warms caches."""
    run(1)
    count = 1
    while True:
        done, taken = _timed(run, count, clock)
        if taken >= seconds / 4:
            return max(1, round(done * seconds / taken))
        count *= 4


def _timed(run: Contestant, count: int, clock: Callable[[], float]) -> tuple[int, float]:
    started = clock()
    done = run(count)
    return done, clock() - started
