"""Negatives: images that somebody has shown to be of none of a task's classes, and what they say of other images.

An image that is as much like a negative as like its nearest example loses familiarity:

    familiarity'(q) = familiarity(q) − w t log(1 + exp((max_j cos(q, z_j) − max_i cos(q, x_i)) / t))

of negatives z_j and examples x_i. The difference is the logarithm of a likelihood ratio of nearest neighbours, made smooth. An
image that resembles no negative loses nothing. One that equals both an example and a negative loses w t log 2, so that a wrong
negative costs a class little. The threshold is fitted to the new familiarity, so that as many members are refused as before
(`models.novelty.thresholds`). The constants were chosen on validation classes; see decision 0106.

Shape legend: n examples of a task, Q queries, M negatives; any leading dimensions are tasks.
"""

import numpy as np

from models.arrays import Ints, Reals
from models.heads.head import Float32

WEIGHT, SOFTNESS = 0.6, 0.05  # w; t, in cosines
# What the members lose that are refused, or nearly, as a share of what examples lose on average where they lack their own class.
BESIDE_OTHERS = 1.5


def loss(to_negative: Reals, nearest: Reals) -> Reals:
    """Returns the familiarity (…) that images lose.

    Args:
        to_negative: (…) the highest cosine with a negative.
        nearest: (…) the highest cosine with an example.
    """
    lost: Reals = WEIGHT * SOFTNESS * np.logaddexp(0.0, (to_negative - nearest) / SOFTNESS)
    return lost


def left_out_losses(x: Float32, labels: Ints, rows: Ints, negatives: Float32) -> tuple[Reals, Reals]:
    """Returns what members are expected to lose, (…, m) each: from what examples lose beside the other classes, and beside all
    other examples.

    In each, the highest loss counts as the second highest. Where an example and a negative are the same image, other images of
    its class are not expected to lose as much.

    Args:
        x: (…, n, D) of norm one.
        labels: (n,) in [0, K), K at least 2.
        rows: (m,) the examples that are looked at, m at least 2.
        negatives: (…, M, D) of norm one, M at least 1.
    """
    x_m = x[..., rows, :]
    to_negative, to_examples = (x_m @ negatives.mT).max(axis=-1), x_m @ x.mT
    same, itself = labels[rows, None] == labels, rows[:, None] == np.arange(len(labels))
    others, all_others = (np.where(gone, -1.0, to_examples).max(axis=-1) for gone in (same, itself))
    return BESIDE_OTHERS * _without_highest(loss(to_negative, others)), _without_highest(loss(to_negative, all_others))


def _without_highest(lost: Reals) -> Reals:
    return np.minimum(lost, np.sort(lost, axis=-1)[..., -2:-1])
