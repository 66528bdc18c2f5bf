"""Points of a task's learning curve, from its support set alone: how accurate its heads are with fewer examples.

Heads are fitted on subsets of the support set and judged on the examples outside. A subset has the same share of every class, so
its heads are as balanced as the task's own. Those of leave-one-out are not: they lack an example of the class that is asked for,
which costs them much where a class has two or three.

Shape legend: n examples, D features, K classes (ways), G groups of examples, R subsets.
"""

from dataclasses import dataclass

import numpy as np

from models.arrays import Bools, Floats, Ints, Reals
from models.heads.fitting import expected_by_share, fit
from models.heads.head import softmax
from models.heads.leave_one_out import LeftOut, verdicts
from models.heads.solvers import METHODS
from models.manifest import HeadOptions

_SHARES = (7 / 8, 1 / 2, 1 / 4, 0.0)  # of the groups of each class: at least one, and at most all but one
_SUBSETS = 8  # of each size, at most


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A point of a learning curve: heads with fewer groups of examples, and which share of the others they recognise.

    Attributes:
        sizes: (K,) groups of each class that a head has.
        judged: (K,) groups of each class that were outside of a subset.
        right: (K,) how many of these were recognised. A group counts by the share of its judgements that were right.
    """

    sizes: Reals
    judged: Reals
    right: Reals

    @classmethod
    def of(cls, left_out: LeftOut, labels: Ints) -> "Point":
        """Returns the point that leave-one-out gives: a good one where classes have many examples, and the cheapest.

        Args:
            labels: (n,) in [0, K).
        """
        sizes = left_out.groups_of_classes(labels)
        worth = left_out.weights * left_out.judged
        right = worth * (left_out.verdicts(labels) == labels)
        seen = 1.0 - 1.0 / (left_out.folds or len(labels))
        return cls(seen * sizes, *(_sums(labels, weights, len(sizes)) for weights in (worth, right)))


@dataclass(frozen=True, slots=True, eq=False)
class _Support:
    """Examples in an order that their content alone decides, classes and groups numbered from 0 by their first example."""

    features_nD: Floats
    labels_n: Ints
    groups_n: Ints
    firsts_G: Ints
    sizes_K: Ints

    @property
    def labels_G(self) -> Ints:
        return self.labels_n[self.firsts_G]

    @property
    def places_RG(self) -> Ints:
        """The place of each group in its class, in several random orders."""
        keys_RG = self.labels_G + np.random.default_rng(0).random((_SUBSETS, len(self.firsts_G)))
        starts_K = np.cumsum(self.sizes_K) - self.sizes_K
        return keys_RG.argsort(axis=1).argsort(axis=1) - starts_K[self.labels_G]


def learning_curve(features: Reals, labels: Ints, options: HeadOptions, groups: Ints) -> list[Point]:
    """Returns the points of seven eighths, a half and a quarter of each class, and of one group a class; each size once.

    A head is fitted on the first example of each of its groups, and judges the groups outside. The result does not depend on the
    order of the examples or on the names of the classes.

    Args:
        features: (n, D), as `models.heads.head.features` makes them.
        labels: (n,), integers in [0, K); every class has at least one example.
        groups: (n,) integers: examples of one class with the same number are one group.

    Returns:
        An empty list where no class has a second group.
    """
    support = _sorted(features, labels, groups)
    most_K = np.maximum(1, support.sizes_K - 1)
    sizes = {tuple(np.clip(np.floor(share * support.sizes_K), 1, most_K).astype(int)) for share in _SHARES}
    return [_point(support, np.array(kept), options) for kept in sorted(sizes, reverse=True) if support.sizes_K.max() > 1]


def _sorted(features: Reals, labels: Ints, groups: Ints) -> _Support:
    contents = [row.tobytes() for row in features]
    classes = {k: sorted(contents[i] for i in np.flatnonzero(labels == k)) for k in np.unique(labels)}
    order = sorted(range(len(labels)), key=lambda i: (contents[i], classes[labels[i]]))
    labels_n = _renumbered(labels[order])
    groups_n = _renumbered(groups[order] * len(labels) + labels_n)
    _, firsts_G = np.unique(groups_n, return_index=True)
    return _Support(features[order].astype(np.float64), labels_n, groups_n, firsts_G, np.bincount(labels_n[firsts_G]))


def _renumbered(values: Ints) -> Ints:
    """Returns numbers from 0, in the order in which the values first occur."""
    _, firsts, which = np.unique(values, return_index=True, return_inverse=True)
    numbers: Ints = firsts.argsort().argsort()[which]
    return numbers


def _point(support: _Support, kept_K: Ints, options: HeadOptions) -> Point:
    """Judges heads that have so many groups of each class."""
    labels_n, labels_G = support.labels_n, support.labels_G
    outside_RG = ~_subsets(support, kept_K)
    rows_Rm = support.firsts_G[np.nonzero(~outside_RG)[1]].reshape(len(outside_RG), -1)
    linear = fit(support.features_nD[rows_Rm], labels_n[rows_Rm], len(kept_K), options)
    scores_RnK = support.features_nD @ linear.weight.mT + linear.bias[:, None]
    if METHODS[options.solver].learns_shares:
        scores_RnK = scores_RnK - expected_by_share(kept_K)
    right_Rn = verdicts(softmax(scores_RnK, options.temperature), labels_n) == labels_n
    of_group_nG = support.groups_n[:, None] == np.arange(len(labels_G))
    right_RG = right_Rn @ (of_group_nG / of_group_nG.sum(axis=0))
    times_G = outside_RG.sum(axis=0)
    share_G = (right_RG * outside_RG).sum(axis=0) / np.maximum(times_G, 1)
    return Point(kept_K.astype(np.float64), *(_sums(labels_G, weights, len(kept_K)) for weights in (times_G > 0, share_G)))


def _subsets(support: _Support, kept_K: Ints) -> Bools:
    """Returns which groups are in each subset, (R, G).

    Subsets of one random order follow one another in it, so that they judge each group about equally often.
    """
    sizes_K = support.sizes_K
    steps_K = np.maximum(1, np.minimum(kept_K, sizes_K - kept_K))
    turns = min(_SUBSETS, int(np.ceil(sizes_K / steps_K).max()))
    numbers_R1 = np.arange(_SUBSETS // turns * turns)[:, None]
    of_class_G = support.labels_G
    places_RG = support.places_RG[numbers_R1[:, 0] // turns] + numbers_R1 % turns * steps_K[of_class_G]
    chosen: Bools = places_RG % sizes_K[of_class_G] < kept_K[of_class_G]
    return chosen


def _sums(labels: Ints, weights: Reals | Bools, ways: int) -> Floats:
    """Returns the sum of the weights in each class, (K,)."""
    return np.bincount(labels, weights, ways).astype(np.float64)
