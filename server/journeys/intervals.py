"""Confidence intervals of shares and means that were measured on a few examples."""

import math

import numpy as np
from numpy.typing import NDArray

Z95 = 1.96  # of a 95 % interval
_FEWEST = 5
_Z_LEFT_OUT = 2.13  # wider than 1.96 by the variance that examples add which judge one another
_LUCK = 1.25  # errors

Interval = tuple[float, float]


def wilson(right: float, judged: float, z: float = Z95) -> Interval | None:
    """Returns the score interval of a share (Wilson, 1927), which keeps inside [0, 1] and does not vanish at its ends.

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


def left_out_accuracy(right: float, judged: float, seen: float) -> Interval | None:
    """Returns the interval of a head's accuracy on further images of the same kind as its examples.

    It follows from how many examples were recognised by heads fitted without them. It is Wilson's interval, corrected for what
    sets these verdicts apart from independent trials of one head. It says nothing of images of another kind.

    - The heads had fewer examples than the one that serves. Error falls about as the inverse of the examples of a class: with 4
      of 5 seen, it is 4/5 of the counted error.
    - Where few errors are expected, one or two may be bad luck. The upper end allows for 1.25 of them.
    - Examples that judge one another tell as much as somewhat fewer independent ones.

    The numbers were chosen over nine domains (decision 0019). `benchmarks.quality` prints how often the interval holds the
    accuracy.

    Args:
        right, judged: of examples, or, where some were left out together, of the groups that they form.
        seen: the share of its own class that an example's head was fitted on, such as 4 / 5.

    Returns:
        None if nothing was judged.
    """
    wrong = judged - right
    low = wilson(judged - seen * wrong, judged, _Z_LEFT_OUT)
    high = wilson(judged - seen * max(0.0, wrong - _LUCK), judged, _Z_LEFT_OUT)
    if low is None or high is None:
        return None
    # Of very many examples of which few are seen, the lower end passes what was counted.
    return min(low[0], right / judged), high[1]


def paired_difference(both: float, first: float, second: float, neither: float, z: float = Z95) -> Interval | None:
    """Returns the interval of p₁ − p₂, two shares of the same examples.

    The score intervals of both are squared and added, with a term for what their verdicts have in common (Newcombe, Improved
    confidence intervals for the difference between binomial proportions based on paired data, Statistics in Medicine 17, 1998,
    method 10).

    Args:
        both, first, second, neither: how many examples both got right, the first alone, the second alone, and neither; shots of
            one thing may count as one together.

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


def _correlation(both: float, first: float, second: float, neither: float) -> float:
    """φ of the fourfold table, a positive one corrected for continuity; 0 where either got all or none."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    covariance = both * neither - first * second
    if covariance > 0:
        covariance = max(0.0, covariance - (both + first + second + neither) / 2)
    return covariance / math.sqrt(margins)


def mean(values: NDArray[np.float64], z: float = Z95) -> Interval | None:
    """Returns the interval of a mean (Student, 1908), his quantile as a series in the normal one (Abramowitz & Stegun, 26.7.5).

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
