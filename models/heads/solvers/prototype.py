"""Cosine to class means: for features of norm one, the scores of a mean of norm one are cosines (Snell et al., 2017)."""

from typing import Any

import numpy as np

from models.arrays import Array, Bools, Floats, Ints
from models.heads.solvers.groups import by_size
from models.heads.solvers.method import Method


def fit(xp: Any, x_TnD: Array, y_TnK: Array, _C: float) -> tuple[Array, Array]:
    """Returns weight (T, K, D), the class means with norm one, and zeros (T, K)."""
    means_TKD = y_TnK.mT @ x_TnD / xp.sum(y_TnK, axis=1)[..., None]
    norms_TK1 = xp.linalg.vector_norm(means_TKD, axis=-1, keepdims=True)
    weight_TKD = means_TKD / xp.where(norms_TK1 > 0, norms_TK1, xp.ones_like(norms_TK1))
    return weight_TKD, xp.zeros_like(weight_TKD[..., 0])


def left_out_scores(x_nD: Floats, y_nK: Floats, _C: float, groups: Ints, _judged: Bools) -> Floats:
    """Returns scores (n, K). Only the mean of an example's own class changes when its group is left out."""
    sums_KD = y_nK.T @ x_nD
    of_group_nD = np.empty_like(x_nD)
    for g in by_size(groups):
        of_group_nD[g] = x_nD[g].sum(axis=1, keepdims=True)
    others_nD = y_nK @ sums_KD - of_group_nD
    scores_nK = x_nD @ _unit(sums_KD).T
    own_n1 = np.sum(x_nD * _unit(others_nD), axis=1, keepdims=True)
    return np.where(y_nK > 0, own_n1, scores_nK)


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


METHOD = Method(fit, left_out_scores, penalised=False, cheap_left_out=True)
