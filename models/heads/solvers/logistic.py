"""Multinomial logistic regression for a stack of tasks at once: the default solver.

Shape legend: T tasks, n examples of a task, D features, K classes (ways), d coordinates of the solution.
"""

from typing import Any

import numpy as np
from array_api_compat import device, is_numpy_array

from models.arrays import Array, Bools, Floats, Ints
from models.heads.solvers.method import Method
from models.heads.solvers.newton import EPSILON, STEP_TOLERANCE, Newton, softmax

_LEFT_OUT_AT_ONCE = 25_000  # logits that the caches hold together with intermediate results


def fit(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array]:
    """Fits multinomial logistic regression: minimises C · Σ cross-entropy + ½‖W‖² with the intercept unpenalised.

    This is the objective of scikit-learn's `LogisticRegression(C)`. With two classes, scikit-learn has one vector w = W₁ − W₀
    and the penalty ½‖w‖². At the optimum (W₁ = −W₀) that is ‖W‖², so the penalty is doubled here too.

    With n < D the problem is solved from the examples' inner products alone. Where that does not reach the optimum, and with n ≥
    D, it is solved in the examples' principal axes.

    Small tasks of PyTorch tensors take a fixed number of steps first (`dense_newton`). Only those that do not reach the optimum
    with them are solved as above. Asking whether all do is the only time that the host waits for the device.

    Args:
        xp: the array API namespace of the arrays.
        x_TnD: features, float64.
        y_TnK: one-hot labels, float64; every class has an example.

    Returns:
        weight (T, K, D) and bias (T, K).
    """
    if y_TnK.shape[-1] == 2:
        C = C / 2
    if is_numpy_array(x_TnD):
        return _solved(xp, x_TnD, y_TnK, C)
    from models.heads.solvers import dense_newton  # It imports PyTorch, which a server on a CPU does not have.

    if not dense_newton.is_small(*y_TnK.shape):
        return _solved(xp, x_TnD, y_TnK, C)
    weight_TKD, bias_TK, reached_T = dense_newton.attempt_all(x_TnD, y_TnK, C)
    if not bool(xp.all(reached_T)):
        (rest,) = xp.nonzero(~reached_T)
        weight_TKD[rest], bias_TK[rest] = _solved(xp, x_TnD[rest], y_TnK[rest], C)
    return weight_TKD, bias_TK


def left_out_logits(xp: Any, x_nD: Array, y_nK: Array, C: float, left_out_Gn: Array) -> Array | None:
    """Returns each example's logits (n, K) from the fit without the group that it is left out with.

    The G fits are a stack of tasks that share one Gram matrix. Each gives its left-out examples a count of zero. Each starts
    from the fit of all examples, which is a few Newton steps away. The logits of the left-out examples come out with the
    others'.

    Args:
        x_nD, y_nK: as `fit` takes them, of one task.
        left_out_Gn: bool, the examples of each of G groups. An example is in at most one group. Each class has an example
            outside the group.

    Returns:
        None if a fit does not reach the optimum from the examples' inner products alone. Zeros for an example of no group.
    """
    if y_nK.shape[-1] == 2:
        C = C / 2
    n, K = y_nK.shape
    gram = _centred(xp, _centred(xp, (x_nD @ x_nD.mT)[None]).mT)
    a_1nK, b_11K, _ = _in_gram(xp, gram, y_nK[None], C)
    at_once = max(1, _LEFT_OUT_AT_ONCE // (n * K))
    logits_nK = 0.0 * y_nK
    for start in range(0, len(left_out_Gn), at_once):
        out_Tn1 = xp.astype(left_out_Gn[start : start + at_once], x_nD.dtype)[..., None]
        counts_Tn1 = 1.0 - out_Tn1
        counted = counts_Tn1 * y_nK
        newton = Newton(xp, gram, True, counted, C, counts_Tn1)
        a_TnK, _, logits_TnK = newton.solve_from(counts_Tn1 * a_1nK, b_11K + 0.0 * counts_Tn1[:, :1])
        weight_TDK = x_nD.mT @ _centred(xp, a_TnK)
        if not _is_optimum(xp, x_nD, counted - counts_Tn1 * softmax(xp, logits_TnK), weight_TDK, C):
            return None
        logits_nK = logits_nK + xp.sum(out_Tn1 * logits_TnK, axis=0)
    return logits_nK


def left_out_scores(x_nD: Floats, y_nK: Floats, C: float, groups: Ints, judged: Bools) -> Floats | None:
    """Returns `left_out_logits` for every group that is judged."""
    found: Floats | None = left_out_logits(np, x_nD, y_nK, C, np.unique(groups[judged])[:, None] == groups)
    return found


def _solved(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array]:
    """Returns weight and bias by as many steps as it takes."""
    if x_TnD.shape[1] < x_TnD.shape[2] and (found := _in_span(xp, x_TnD, y_TnK, C)) is not None:
        return found
    return _along_axes(xp, x_TnD, y_TnK, C)


def _in_span(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array] | None:
    """Returns weight and bias, or None if they are not the optimum's."""
    gram = _centred(xp, _centred(xp, x_TnD @ x_TnD.mT).mT)
    a_TnK, b_T1K, _ = _in_gram(xp, gram, y_TnK, C)
    # The features stay uncentred: it is less work to subtract the mean from the coefficients.
    weight_TDK = x_TnD.mT @ _centred(xp, a_TnK)
    logits_TnK = x_TnD @ weight_TDK
    b_T1K = b_T1K - xp.mean(logits_TnK, axis=1, keepdims=True)
    excess = y_TnK - softmax(xp, logits_TnK + b_T1K)
    return (weight_TDK.mT, b_T1K[:, 0]) if _is_optimum(xp, x_TnD, excess, weight_TDK, C) else None


def _in_gram(xp: Any, gram: Array, y_TnK: Array, C: float) -> tuple[Array, Array, Array]:
    """Returns coefficients, intercept and logits, from the inner products (T, n, n) of the centred examples."""
    y, b_T1K = _first_step(xp, y_TnK)
    ridge = gram / y.shape[-1] + xp.eye(gram.shape[-1], dtype=gram.dtype, device=device(gram)) / C
    return Newton(xp, gram, True, y_TnK, C).solve(xp.linalg.solve(ridge, y), b_T1K)


def _is_optimum(xp: Any, x_TnD: Array, excess_TnK: Array, weight_TDK: Array, C: float) -> bool:
    """Returns whether every task's weight is as near the optimum's as Newton's method would bring it.

    C times the gradient's norm is at least the distance, since the Hessian is nowhere below 1 / C.
    """
    gradient = x_TnD.mT @ _centred(xp, excess_TnK) - weight_TDK / C
    # `<=` and not `>`, so that NaN is no optimum.
    return float(xp.max(xp.sum(gradient * gradient, axis=(1, 2)))) <= (STEP_TOLERANCE / C) ** 2


def _along_axes(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array]:
    """Returns weight and bias, from the examples' coordinates along their principal axes."""
    n, D = x_TnD.shape[1:]
    x = _centred(xp, x_TnD)
    if n < D:
        squares_Tn, vectors = xp.linalg.eigh(x @ x.mT)
        squares_T1d = squares_Tn[:, None]
        # Centred examples span n − 1 axes, equal ones fewer. The rest is rounding error, and must not be divided by.
        real = squares_T1d > n * EPSILON * squares_T1d[..., -1:]
        roots_T1d = xp.sqrt(xp.where(real, squares_T1d, 1.0))
        z_Tnd, axes_TDd = xp.where(real, vectors * roots_T1d, 0.0), x.mT @ (vectors / roots_T1d)
    else:
        squares_TD, axes_TDd = xp.linalg.eigh(x.mT @ x)
        z_Tnd, squares_T1d = x @ axes_TDd, squares_TD[:, None]
    y, b_T1K = _first_step(xp, y_TnK)
    towards = z_Tnd.mT @ y / (squares_T1d.mT / y.shape[-1] + 1.0 / C)
    a_TdK, b_T1K, _ = Newton(xp, z_Tnd, False, y_TnK, C).solve(towards, b_T1K)
    weight_TDK = axes_TDd @ a_TdK
    return weight_TDK.mT, (b_T1K - xp.mean(x_TnD, axis=1, keepdims=True) @ weight_TDK)[:, 0]


def _first_step(xp: Any, y_TnK: Array) -> tuple[Array, Array]:
    """Returns the closed form of Newton's first step: the targets of a ridge regression that gives its coefficients, and its
    intercept.

    At zero, where P is 1 / K everywhere, the Hessian is the same for every class.
    """
    share_T1K = xp.mean(y_TnK, axis=1, keepdims=True)
    return y_TnK - share_T1K, y_TnK.shape[-1] * share_T1K - 1.0


def _centred(xp: Any, a_Tnm: Array) -> Array:
    """Subtracts the mean of the examples."""
    return a_Tnm - xp.mean(a_Tnm, axis=1, keepdims=True)


METHOD = Method(fit, left_out_scores, learns_shares=True)
