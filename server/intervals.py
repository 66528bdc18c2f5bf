"""How far what was counted or measured on a few examples can be from the truth."""

import math

import numpy as np
from numpy.typing import NDArray

Z95 = 1.96  # of a 95 % interval
_FEWEST = 5

Interval = tuple[float, float]


def wilson(right: int, judged: int, z: float = Z95) -> Interval | None:
    """The score interval of a share (Wilson, 1927), which keeps inside [0, 1] and does not vanish at its ends.

    Args:
        z: how many standard errors wide it is to either side.

    Returns:
        None if nothing was judged.
    """
    if not judged:
        return None
    share, weight = right / judged, z**2 / judged
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * share * (1 - share) + weight**2 / 4) / (1 + weight)
    # Where all or none were right, one end is the share itself, which rounding must not leave out.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def paired_difference(both: int, first: int, second: int, neither: int, z: float = Z95) -> Interval | None:
    """The interval of p₁ − p₂, two shares of the same examples: the score intervals of both, squared and added with what their
    verdicts have in common (Newcombe, Improved confidence intervals for the difference between binomial proportions based on
    paired data, Statistics in Medicine 17, 1998, method 10).

    Args:
        both, first, second, neither: how many examples both got right, the first alone, the second alone, and neither.

    Returns:
        None if there are no examples.
    """
    judged = both + first + second + neither
    of_first, of_second = wilson(both + first, judged, z), wilson(both + second, judged, z)
    if of_first is None or of_second is None:
        return None
    p_1, p_2 = (both + first) / judged, (both + second) / judged
    (low_1, high_1), (low_2, high_2) = of_first, of_second
    phi = _correlation(both, first, second, neither)

    def apart(a: float, b: float) -> float:
        return math.sqrt(a**2 - 2 * phi * a * b + b**2)

    difference = p_1 - p_2
    return difference - apart(p_1 - low_1, high_2 - p_2), difference + apart(high_1 - p_1, p_2 - low_2)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """φ of the fourfold table, a positive one corrected for continuity; 0 where either got all or none."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    covariance = float(both * neither - first * second)
    if covariance > 0:
        covariance = max(0.0, covariance - (both + first + second + neither) / 2)
    return covariance / math.sqrt(margins)


def mean(values: NDArray[np.float64], z: float = Z95) -> Interval | None:
    """The interval of a mean (Student, 1908), his quantile as a series in the normal one (Abramowitz & Stegun, 26.7.5).

    Args:
        values: (m,).

    Returns:
        None of fewer than five values, which do not tell how they vary, and for which the series is not good enough.
    """
    if len(values) < _FEWEST:
        return None
    f = len(values) - 1
    quantile = (
        z
        + (z**3 + z) / (4 * f)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3)
    )
    middle, half = float(values.mean()), quantile * float(values.std(ddof=1)) / math.sqrt(len(values))
    return middle - half, middle + half
