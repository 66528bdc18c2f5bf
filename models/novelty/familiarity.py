"""Familiarity: how much images resemble a task's classes, from cosines.

Shape legend: T tasks (any leading dimensions, or none), n examples of a task, Q queries, D features, K classes.
"""

import numpy as np

from models.arrays import Reals
from models.heads.head import Float32
from models.manifest import NoveltyLaw


def smooth_maximum(values: Reals, kappa: float) -> Reals:
    """Returns 1/κ · log mean exp(κ ·), (…), of values (…, K) in [-1, 1]."""
    highest = values.max(axis=-1)
    maximum: Reals = highest + np.log(np.exp(kappa * (values - highest[..., None])).mean(axis=-1)) / kappa
    return maximum


def resemblance(to_means: Reals, nearest: Reals, law: NoveltyLaw) -> Reals:
    """Returns the familiarity (…, Q) of queries by a law, from cosines with the class means (…, Q, K) and the nearest example
    (…, Q).
    """
    best = (1.0 - law.nearest) * smooth_maximum(to_means, law.kappa) + law.nearest * nearest
    familiarity: Reals = best - law.others * to_means.mean(axis=-1)
    return familiarity


def left_out_cosines(x: Float32, sums: Float32, one_hot_nK: Float32, counts: Float32) -> Reals:
    """Returns cosines (…, n, K) of examples with class means that leave them out; 0 where a class has no other example.

    With ‖x‖ = 1, ⟨x, S − x⟩ = ⟨x, S⟩ − 1 and ‖S − x‖² = ‖S‖² − 2 ⟨x, S⟩ + 1.

    Args:
        x: (…, n, D) features of norm one, of all of a task's examples or of some.
        sums: (…, K, D) of the features of each class.
        one_hot_nK: the class of each of them.
        counts: (K,) examples of each class.
    """
    products = x @ sums.mT
    squares = np.vecdot(sums, sums)[..., None, :] + one_hot_nK * (1.0 - 2.0 * products)
    alone = one_hot_nK * (counts == 1)
    cosines: Reals = np.where(alone > 0, 0.0, (products - one_hot_nK) / np.sqrt(np.maximum(squares, 1e-12)))
    return cosines
