"""Leave-one-out: an estimate of a head's quality from its support set alone.

Each example is judged by a head fitted without it. Near-duplicates and shots of the same thing would tell that head too much, so
a group of them is left out together (`models.examples.bursts`).

Shape legend: n examples, m of them judged, D features, K classes (ways), G groups of examples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Bools, Floats, Ints
from models.heads.fitting import expected_by_share, fit
from models.heads.head import softmax
from models.heads.solvers import METHODS
from models.manifest import HeadOptions

MAX_LEFT_OUT = 500
FOLDS = 20
_TIE = 1e-6  # in probability: the difference between solvers where two classes are equally likely


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """The judgements of n examples by heads that were fitted without them.

    Attributes:
        judged: bool (n,); False for the examples of a class that are all of one group. A head fitted without them does not know
            the class. The only example of a class is such a case.
        probabilities: float64 (n, K); NaN for an example that is not judged.
        folds: how many parts the examples were left out in; None if each group was left out by itself.
        groups: (n,) numbers from 0; examples left out together share one.
    """

    judged: NDArray[np.bool_]
    probabilities: Floats
    folds: int | None
    groups: Ints

    @property
    def weights(self) -> Floats:
        """The weight of each example (n,), so that each group counts as one."""
        weights: Floats = 1.0 / np.bincount(self.groups)[self.groups]
        return weights

    def groups_of_classes(self, labels: Ints) -> Ints:
        """Returns the number of groups in each class, (K,), for examples with these labels, (n,)."""
        return _groups_of_classes(self.groups, labels, self.probabilities.shape[1])

    def verdicts(self, labels: Ints) -> Ints:
        """Returns the class that each example is taken for, (n,); meaningless where it is not judged.

        Args:
            labels: (n,) the examples' own classes. Where another class is equally likely, the example counts as not recognised.
        """
        return verdicts(self.probabilities, labels)

    @property
    def method(self) -> str:
        """`leave-one-out`, or `20 folds`."""
        return "leave-one-out" if self.folds is None else f"{self.folds} folds"


def leave_one_out(
    features: NDArray[np.floating[Any]], labels: Ints, ways: int, options: HeadOptions, groups: Ints | None = None
) -> LeftOut:
    """Judges each example by the head that `models.heads.fitting.fit_head` would make of the others.

    Above 500 examples, 20 folds are left out instead, each with its share of every class. Class means need no folds: leaving one
    example out of a mean costs nothing.

    Args:
        features: (n, D), as `models.heads.head.features` makes them.
        labels: (n,), integers in [0, ways); every class has at least one example.
        groups: (n,) integers: examples of one class with the same number are left out together; each alone by default.
    """
    x_nD = features.astype(np.float64)
    groups = np.arange(len(labels)) if groups is None else _within_classes(groups, labels)
    judged = _groups_of_classes(groups, labels, ways)[labels] > 1
    rows_m = np.flatnonzero(judged)
    method = METHODS[options.solver]
    folds = FOLDS if len(labels) > MAX_LEFT_OUT and not method.cheap_left_out else None
    scores_nK = np.full((len(labels), ways), np.nan)
    if folds:
        for left_out in _folds(labels, groups, rows_m):
            scores_nK[left_out] = _refitted(x_nD, labels, ways, options, left_out)
    elif len(rows_m):
        scores_nK[judged] = _left_out_scores(x_nD, labels, ways, options, groups, judged)[judged]
    return LeftOut(judged, softmax(scores_nK, options.temperature), folds, groups)


def verdicts(probabilities: Floats, labels: Ints) -> Ints:
    """Returns the class that each example is taken for, (…, n); where another is as likely as its own, not its own.

    Args:
        probabilities: (…, n, K).
        labels: (n,), integers in [0, K).
    """
    found: Ints = (probabilities - _TIE * np.eye(probabilities.shape[-1])[labels]).argmax(axis=-1)
    return found


def wanting(left_out: LeftOut, labels: Ints) -> Floats:
    """Returns how much each class would gain from more images, (K,); higher means more.

    A class's value is the probability that its examples gave to other classes, plus what other examples gave to it, divided by
    its number of examples. More examples make a class mean more exact. Probabilities tell more than verdicts do from so few
    examples. A class that cannot be judged needs images most: its value is infinity.

    Args:
        labels: (n,).
    """
    ways = left_out.probabilities.shape[1]
    one_hot_mK, shares_mK = np.eye(ways)[labels[left_out.judged]], left_out.probabilities[left_out.judged]
    wrong_K = np.abs(one_hot_mK - shares_mK).sum(axis=0)
    judged_K = one_hot_mK.sum(axis=0)
    return np.where(judged_K > 0, wrong_K / np.maximum(judged_K, 1.0), np.inf)


def _within_classes(groups: Ints, labels: Ints) -> Ints:
    """Returns numbers from 0, (n,), one for each group of each class."""
    _, numbers = np.unique(np.stack([labels, groups]), axis=1, return_inverse=True)
    return numbers.astype(np.int64)


def _groups_of_classes(groups: Ints, labels: Ints, ways: int) -> Ints:
    """Returns the number of groups in each class, (K,)."""
    _, firsts = np.unique(groups, return_index=True)
    return np.bincount(labels[firsts], minlength=ways)


def _left_out_scores(x_nD: Floats, labels: Ints, ways: int, options: HeadOptions, groups: Ints, judged: Bools) -> Floats:
    """The scores (n, K) of judged examples, each from the fit without its group."""
    method = METHODS[options.solver]
    y_nK = np.eye(ways)[labels]
    if method.left_out_scores and (found := method.left_out_scores(x_nD, y_nK, options.C, groups, judged)) is not None:
        if not method.learns_shares:
            return found
        counts_nK = y_nK.sum(axis=0) - np.bincount(groups)[groups, None] * y_nK
        return found - expected_by_share(np.where(judged[:, None], counts_nK, 1.0))
    scores_nK = np.full(y_nK.shape, np.nan)
    for group in np.unique(groups[judged]):
        left_out = np.flatnonzero(groups == group)
        scores_nK[left_out] = _refitted(x_nD, labels, ways, options, left_out)
    return scores_nK


def _refitted(x_nD: Floats, labels: Ints, ways: int, options: HeadOptions, left_out: Ints) -> Floats:
    """Returns the scores of some examples from a fit without them."""
    others = np.setdiff1d(np.arange(len(labels)), left_out)
    head = fit(x_nD[others], labels[others], ways, options)
    scores: Floats = x_nD[left_out] @ head.weight.T + head.bias
    if METHODS[options.solver].learns_shares:
        scores -= expected_by_share(np.bincount(labels[others]))
    return scores


def _folds(labels: Ints, groups: Ints, rows_m: Ints) -> Iterator[Ints]:
    """Deals out groups class by class, so that no fold has all of a class."""
    order = rows_m[np.argsort(labels[rows_m], kind="stable")]
    _, firsts, dealt = np.unique(groups[order], return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(firsts))[dealt]
    for fold in range(min(FOLDS, int(place.max(initial=-1)) + 1)):
        yield order[place % FOLDS == fold]
