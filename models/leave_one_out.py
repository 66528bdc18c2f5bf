"""How good a head is, told by its support set alone: each example is judged by a head fitted without it.

Shape legend: n examples, m of them judged, D features, K classes (ways).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fitting import expected_by_share, fit
from models.heads import softmax
from models.logistic import left_out_logits
from models.manifest import HeadOptions

MAX_LEFT_OUT = 500
FOLDS = 20

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """What heads fitted without them say of n examples.

    Attributes:
        judged: bool (n,); False for the only example of a class, which no head fitted without it can know.
        probabilities: float64 (n, K); those of an example that is not judged are not numbers.
        folds: how many parts the examples were left out in; None if each was left out alone.
    """

    judged: NDArray[np.bool_]
    probabilities: Floats
    folds: int | None

    @property
    def method(self) -> str:
        """`leave-one-out`, or `20 folds`."""
        return "leave-one-out" if self.folds is None else f"{self.folds} folds"


def leave_one_out(features: NDArray[np.floating[Any]], labels: Ints, ways: int, options: HeadOptions) -> LeftOut:
    """Judges each example by the head that `models.fitting.fit_head` would make of the others, exactly; above 500 examples in 20
    folds, each with its share of every class, unless heads are class means, of which leaving one out costs nothing.

    Args:
        features: (n, D), as `models.heads.features` makes them.
        labels: (n,), integers in [0, ways); every class has at least one example.
    """
    x_nD = features.astype(np.float64)
    judged = np.bincount(labels, minlength=ways)[labels] > 1
    rows_m = np.flatnonzero(judged)
    folds = FOLDS if len(labels) > MAX_LEFT_OUT and options.solver != "prototype" else None
    scores_nK = np.full((len(labels), ways), np.nan)
    if folds:
        for left_out in _folds(labels, rows_m):
            scores_nK[left_out] = _refitted(x_nD, labels, ways, options, left_out)
    elif len(rows_m):
        y_nK = np.eye(ways)[labels]
        match options.solver:
            case "logistic":
                found = left_out_logits(np, x_nD, y_nK, options.C, rows_m)
                if found is None:
                    scores_nK[rows_m] = _one_by_one(x_nD, labels, ways, options, rows_m)
                else:
                    scores_nK[rows_m] = found - expected_by_share(y_nK.sum(axis=0) - y_nK[rows_m])
            case "ridge":
                scores_nK[rows_m] = _ridge(x_nD, y_nK, options.C)[rows_m]
            case "prototype":
                scores_nK[rows_m] = _prototype(x_nD, y_nK)[rows_m]
    return LeftOut(judged, softmax(scores_nK, options.temperature), folds)


def wanting(left_out: LeftOut, labels: Ints) -> Floats:
    """(K,) how much more images of each class would help: what probability its examples gave to other classes and others'
    gave to it, for each example that it has.

    The mean of an example's class is the better known the more examples it has, and counting probabilities, not verdicts, tells
    more from as few of them. A class that cannot be judged wants images most: it has infinity.

    Args:
        labels: (n,).
    """
    ways = left_out.probabilities.shape[1]
    one_hot_mK, shares_mK = np.eye(ways)[labels[left_out.judged]], left_out.probabilities[left_out.judged]
    wrong_K = np.abs(one_hot_mK - shares_mK).sum(axis=0)
    judged_K = one_hot_mK.sum(axis=0)
    return np.where(judged_K > 0, wrong_K / np.maximum(judged_K, 1.0), np.inf)


def _ridge(x_nD: Floats, y_nK: Floats, C: float) -> Floats:
    """Predicted residual sum of squares (Allen, 1974): a fit without example i misses it by the residual of the fit of all,
    divided by 1 − H[i, i], where the hat matrix H makes of targets what is fitted to them.
    """
    n = len(x_nD)
    centred = x_nD - x_nD.mean(axis=0)
    gram = centred @ centred.T
    hat = 1.0 / n + np.linalg.solve(gram + np.eye(n) / C, gram)
    return y_nK - (y_nK - hat @ y_nK) / (1.0 - np.diag(hat))[:, None]


def _prototype(x_nD: Floats, y_nK: Floats) -> Floats:
    """Only the mean of an example's own class changes when it is left out."""
    sums_KD = y_nK.T @ x_nD
    others_nD = y_nK @ sums_KD - x_nD
    scores_nK = x_nD @ _unit(sums_KD).T
    own_n1 = np.sum(x_nD * _unit(others_nD), axis=1, keepdims=True)
    return np.where(y_nK > 0, own_n1, scores_nK)


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def _one_by_one(x_nD: Floats, labels: Ints, ways: int, options: HeadOptions, rows_m: Ints) -> Floats:
    return np.concatenate([_refitted(x_nD, labels, ways, options, row) for row in rows_m[:, None]])


def _refitted(x_nD: Floats, labels: Ints, ways: int, options: HeadOptions, left_out: Ints) -> Floats:
    """The scores of some examples from a fit without them."""
    others = np.setdiff1d(np.arange(len(labels)), left_out)
    head = fit(x_nD[others], labels[others], ways, options)
    scores: Floats = x_nD[left_out] @ head.weight.T + head.bias
    if options.solver == "logistic":
        scores -= expected_by_share(np.bincount(labels[others]))
    return scores


def _folds(labels: Ints, rows_m: Ints) -> Iterator[Ints]:
    """Dealt out class by class, so that no fold has all of a class."""
    dealt = rows_m[np.argsort(labels[rows_m], kind="stable")]
    for fold in range(FOLDS):
        yield dealt[fold::FOLDS]
