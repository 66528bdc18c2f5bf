"""How far what was counted or measured on a few examples can be from the truth."""

import math

import numpy as np
from numpy.typing import NDArray

Z95 = 1.96  # of a 95 % interval
_FEWEST = 5
_Z_LEFT_OUT = 2.2  # chosen on base and validation classes of six domains

Interval = tuple[float, float]


def wilson(right: float, judged: float, z: float = Z95) -> Interval | None:
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


def left_out_accuracy(right: float, judged: float, seen: float) -> Interval | None:
    """The interval of the accuracy that a head has on images from elsewhere, told by how many examples were recognised by heads
    fitted without them: Wilson's, widened by what sets those apart from independent trials of that head.

    The heads had fewer examples. Error falls with examples, at most about as their inverse: so much lower is the error that the
    upper end allows for. And examples that judge one another tell as much as fewer independent ones.

    Args:
        right, judged: of examples, or, where some were left out together, of the groups that they form.
        seen: the share of its own class that an example's head was fitted on, such as 4 / 5.

    Returns:
        None if nothing was judged.
    """
    low, high = wilson(right, judged, _Z_LEFT_OUT), wilson(judged - seen * (judged - right), judged, _Z_LEFT_OUT)
    return None if low is None or high is None else (low[0], high[1])


def paired_difference(both: float, first: float, second: float, neither: float, z: float = Z95) -> Interval | None:
    """The interval of p₁ − p₂, two shares of the same examples: the score intervals of both, squared and added with what their
    verdicts have in common (Newcombe, Improved confidence intervals for the difference between binomial proportions based on
    paired data, Statistics in Medicine 17, 1998, method 10).

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
