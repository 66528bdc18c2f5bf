"""Ridge regression to one-hot targets, in closed form."""

from typing import Any

import numpy as np
from array_api_compat import device, is_numpy_array

from models.arrays import Array, Bools, Floats, Ints
from models.heads.solvers.groups import by_size
from models.heads.solvers.method import Method


def fit(xp: Any, x_TnD: Array, y_TnK: Array, C: float) -> tuple[Array, Array]:
    """Returns weight (T, K, D) and bias (T, K) that minimise C ‖X Wᵀ + b − Y‖² + ‖W‖², with b unpenalised.

    Centring X and Y removes b from the problem. Then, with λ = 1/C,

        W = Yᵀ X (XᵀX + λI)⁻¹ = Yᵀ (XXᵀ + λI)⁻¹ X

    and the smaller of the two systems is solved.
    """
    x_mean_T1D, y_mean_T1K = xp.mean(x_TnD, axis=1, keepdims=True), xp.mean(y_TnK, axis=1, keepdims=True)
    x, y = x_TnD - x_mean_T1D, y_TnK - y_mean_T1K
    n, D = x.shape[1:]
    if n < D:
        dual = x @ x.mT + xp.eye(n, dtype=x.dtype, device=device(x)) / C
        weight_TKD = _solve(xp, dual, y).mT @ x
    else:
        primal = x.mT @ x + xp.eye(D, dtype=x.dtype, device=device(x)) / C
        weight_TKD = _solve(xp, primal, x.mT @ y).mT
    return weight_TKD, (y_mean_T1K - x_mean_T1D @ weight_TKD.mT)[:, 0]


def _solve(xp: Any, a: Array, b: Array) -> Array:
    """Solves a system that is never singular. PyTorch's `solve` would wait for a GPU, to see whether it is."""
    return xp.linalg.solve(a, b) if is_numpy_array(a) else xp.linalg.solve_ex(a, b).result


def left_out_scores(x_nD: Floats, y_nK: Floats, C: float, groups: Ints, _judged: Bools) -> Floats:
    """Returns scores (n, K) by the predicted residual sum of squares (Allen, 1974), of groups.

    The hat matrix H maps targets to fitted values. A fit without the examples g misses them by (I − H[g, g])⁻¹ times the
    residuals that the fit of all examples has there.
    """
    n = len(x_nD)
    centred = x_nD - x_nD.mean(axis=0)
    gram = centred @ centred.T
    hat = 1.0 / n + np.linalg.solve(gram + np.eye(n) / C, gram)
    residuals = y_nK - hat @ y_nK
    for g in by_size(groups):  # (groups of one size, that size)
        block = np.eye(g.shape[1]) - hat[g[:, :, None], g[:, None, :]]
        residuals[g] = np.linalg.solve(block, residuals[g])
    return y_nK - residuals


METHOD = Method(fit, left_out_scores)
