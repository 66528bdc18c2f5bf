"""The interface of a solver. `models.heads.fitting` and `models.heads.leave_one_out` know a solver by this alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.arrays import Array, Bools, Floats, Ints

Fit = Callable[[Any, Array, Array, float], tuple[Array, Array]]
LeftOutScores = Callable[[Floats, Floats, float, Ints, Bools], Floats | None]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to fit the last layer.

    Shape legend: T tasks, n examples of a task, D features, K classes.

    Attributes:
        fit: takes the arrays' namespace (array API), features (T, n, D), one-hot labels (T, n, K) and C; returns weight (T, K, D)
            and bias (T, K). All are float64. Every class has an example.
        left_out_scores: takes features (n, D), one-hot labels (n, K), C, the group of each example (n,) and which examples are
            judged (n,). It returns the scores (n, K) that each judged example has from the fit without its group. It returns None
            where it cannot compute them exactly. A group lies within one class. Without this function, and where it returns None,
            each group is left out by a fit of its own.
        penalised: whether C changes the fit.
        learns_shares: whether the bias follows the classes' shares of the examples, so that a head has to be corrected for them
            (`models.heads.fitting.expected_by_share`).
        cheap_left_out: whether `left_out_scores` costs little however many examples there are.
    """

    fit: Fit
    left_out_scores: LeftOutScores | None = None
    penalised: bool = True
    learns_shares: bool = False
    cheap_left_out: bool = False
