"""A forecast of the accuracy that a task would have with more examples of each class.

The model of a learning curve, for K classes of n examples (groups of examples, and their geometric mean where they differ):

    accuracy = 1/K + (1 − 1/K) · σ(z),     z = level + slope · h(n) − 0.6 · ln(K / 5),     h(n) = 3 · (1 − n^(−1/3))

h grows like ln n at first and flattens: each further example helps less. Level and slope have Gaussian priors, that of the slope
cut at 0, since more examples do not hurt. A backbone's evaluations on other classes make the priors (`CurvePrior`).

The points of the task's own curve (`models.heads.learning_curve`) judge the same examples. So they are no independent evidence:
the log-likelihood is the mean of theirs and not the sum (a composite likelihood: Varin, Reid & Firth, An overview of composite
likelihood methods, Statistica Sinica 21, 2011). The posterior is computed on a grid.

The constants were chosen on validation classes (decision 0108).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.arrays import Floats, Ints, Reals
from models.heads.learning_curve import Point

FACTORS = (2, 5)
_TAILS = (0.1, 0.5, 0.9)  # of an 80 % interval, with the median
_POWER = 1 / 3
_WAYS, _OF_WAYS = 5, 0.6
_LEVELS, _SLOPES, _DEVIATIONS = 61, 41, 4.0  # of the grid
_EXTREME = 1e-3  # Accuracies of evaluations are at most this near to chance and to 1.


class Gaussian(NamedTuple):
    """A normal distribution."""

    mean: float
    deviation: float


_LEVEL, _SLOPE = Gaussian(0.8, 1.2), Gaussian(0.85, 0.3)  # of a backbone of which nothing is known


class Evaluated(NamedTuple):
    """A backbone's mean accuracy over tasks of so many classes, and so many examples of each."""

    dataset: str
    ways: int
    shots: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class CurvePrior:
    """Expectations of a task's learning curve before any of its examples is seen.

    The defaults are for a backbone of which nothing is known.

    Attributes:
        level: of z with one example of each of five classes.
        slope: of z along h(n).
    """

    level: Gaussian = _LEVEL
    slope: Gaussian = _SLOPE

    @classmethod
    def of(cls, evaluated: Iterable[Evaluated]) -> "CurvePrior":
        """Returns the mean and the spread of the curves of the evaluated datasets.

        The variance is that of tasks of one dataset, plus that between datasets, plus what few datasets leave unknown of their
        mean. The defaults stand in for what was not evaluated.
        """
        curves: dict[str, list[tuple[float, float]]] = {}
        for each in evaluated:
            z = float(_z_of(each.accuracy, each.ways)) + _of_ways(each.ways)
            curves.setdefault(each.dataset, []).append((float(_h(each.shots)), z))
        if not curves:
            return cls()
        lines = np.array([_line(np.array(points)) for points in curves.values()])
        (level, slope), (of_level, of_slope) = lines.mean(axis=0), lines.var(axis=0)
        return cls(
            Gaussian(float(level), math.sqrt(0.5**2 + of_level + 1.2**2 / len(lines))),
            Gaussian(float(slope), math.sqrt(0.25**2 + of_slope + 0.2**2 / len(lines))),
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """The accuracy to expect with `factor` times the examples of each class: the median, and an 80 % interval around it."""

    factor: int
    accuracy: float
    interval: tuple[float, float]


def forecast(points: Sequence[Point], sizes: Ints, prior: CurvePrior) -> list[Forecast]:
    """Returns the forecast with twice and with five times the examples of each class.

    Args:
        points: of the task's own learning curve; with none of them the prior alone decides.
        sizes: (K,) groups of examples of each class that the task has, at least 1.
    """
    ways, shots = len(sizes), _middle(np.sort(sizes))
    (level, of_level), (slope, of_slope) = prior.level, prior.slope
    levels = level + of_level * np.linspace(-_DEVIATIONS, _DEVIATIONS, _LEVELS)[:, None]
    slopes = np.linspace(max(0.0, slope - _DEVIATIONS * of_slope), max(0.0, slope) + _DEVIATIONS * of_slope, _SLOPES)

    def z(shots: float) -> Floats:
        of_grid: Floats = levels + slopes * _h(shots) - _of_ways(ways)
        return of_grid

    log_weights = -0.5 * ((levels - level) / of_level) ** 2 - 0.5 * ((slopes - slope) / of_slope) ** 2
    evidence = [_log_likelihood(point, z(_middle(point.sizes))) for point in points if point.judged.any()]
    if evidence:
        log_weights = log_weights + np.mean(evidence, axis=0)
    weights = np.exp(log_weights - log_weights.max()).ravel()
    found = []
    for factor in FACTORS:
        of_factor = z(factor * shots).ravel()
        order = of_factor.argsort()
        shares = weights[order].cumsum()
        places = np.searchsorted(shares, np.array(_TAILS) * shares[-1])
        low, middle, high = _accuracy(of_factor[order[places]], ways).tolist()
        found.append(Forecast(factor, middle, (low, high)))
    return found


def _log_likelihood(point: Point, z: Floats) -> Floats:
    """The binomial log-likelihood of the mean accuracy over the classes that were judged, as of that many independent verdicts
    as have its variance. Where only some of the classes were judged, it counts less in proportion.
    """
    judged = point.judged > 0
    share = (point.right[judged] / point.judged[judged]).mean()
    worth = judged.mean() * judged.sum() ** 2 / (1.0 / point.judged[judged]).sum()
    log_right, log_wrong = np.log(_accuracy(z, len(judged))), np.log(1.0 - 1.0 / len(judged)) - np.logaddexp(0.0, z)
    found: Floats = worth * (share * log_right + (1.0 - share) * log_wrong)
    return found


def _line(points: Floats) -> tuple[float, float]:
    """Level and slope of a dataset's curve, by least squares of its points (h, z)."""
    h, z = points.T
    slope = _SLOPE.mean
    if np.ptp(h):
        slope = max(0.0, float(np.polyfit(h, z, 1)[0]))
    return float(z.mean() - slope * h.mean()), slope


def _h(shots: float) -> float:
    return float((1.0 - shots**-_POWER) / _POWER)


def _of_ways(ways: int) -> float:
    return _OF_WAYS * math.log(ways / _WAYS)


def _middle(sizes: Ints | Reals) -> float:
    """The geometric mean."""
    return float(np.exp(np.log(sizes).mean()))


def _accuracy(z: Floats, ways: int) -> Floats:
    found: Floats = 1.0 / ways + (1.0 - 1.0 / ways) * np.exp(-np.logaddexp(0.0, -z))
    return found


def _z_of(accuracy: float, ways: int) -> float:
    clipped = min(max(accuracy, 1.0 / ways + _EXTREME), 1.0 - _EXTREME)
    return math.log((clipped - 1.0 / ways) / (1.0 - clipped))
