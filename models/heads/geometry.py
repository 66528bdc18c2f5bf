"""The geometry of a support set: features of it that tell, before a head is fitted, how hard the task is.

Shape legend: n examples, m of them left out in turn, D features, K classes (ways).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.arrays import Floats, Ints, Reals

# The prior on the temperature of left-out scores: log T lies within 0.5 of log 0.06 (a variance of 1 / (2 * 2)). Without it,
# examples that are all recognised would ask for a temperature of 0.
_USUAL, _FIRMNESS = math.log(0.06), 2.0
_LEAST, _MOST, _BISECTIONS = math.log(1e-3), math.log(10.0), 16
_MOST_SCORES = 2**18  # of examples left out: more would take longer than the fit of a small head


@dataclass(frozen=True, slots=True)
class LeftOutMeans:
    """Scores of examples against class means that were made without them. A class of one example has no such mean and is left
    out.

    Attributes:
        log_likeliest: log T of the likeliest softmax(cosine / T) of the examples' own classes.
        recognised: the share of examples whose own class is nearest.
        within: the mean cosine between two examples of a class.
    """

    log_likeliest: float
    recognised: float
    within: float


@dataclass(frozen=True, slots=True)
class Geometry:
    """Measures of a support set of K classes. Every class counts equally, and their order does not matter.

    Attributes:
        counts: (K,) examples of each class.
        between: the mean cosine between examples of two classes.
        nearest: the same between a class and the one most like it, the mean over the classes.
        left_out: None where every class has one example.
    """

    counts: Ints
    between: float
    nearest: float
    left_out: LeftOutMeans | None

    @property
    def ways(self) -> int:
        """K."""
        return len(self.counts)

    @property
    def shots(self) -> float:
        """The examples of a class; see `effective_shots`."""
        return effective_shots(self.counts)


def effective_shots(counts: Sequence[int] | Ints) -> float:
    """Returns the shots of a task whose classes have unequally many examples: their harmonic mean.

    A class mean of n examples errs by a variance in proportion to 1 / n. The harmonic mean is the equal number with the same
    variance on average.

    Args:
        counts: examples of each class, at least 1.
    """
    return len(counts) / float(np.sum(1.0 / np.asarray(counts)))


def geometry(features: Reals, labels: Ints) -> Geometry:
    """Returns the geometry of n examples.

    Args:
        features: (n, D), as `models.heads.head.features` makes them.
        labels: (n,), integers in [0, K), K at least 2; every class has at least one example.
    """
    counts_K = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    x_nD, labels = features[order], labels[order]
    sums_KD = np.add.reduceat(x_nD, np.cumsum(counts_K) - counts_K, axis=0)
    cosines_KK = (sums_KD @ sums_KD.T).astype(np.float64) / np.outer(counts_K, counts_K)
    apart_KK = np.where(np.eye(len(counts_K), dtype=bool), np.nan, cosines_KK)
    rows_m = _some(np.flatnonzero(counts_K[labels] > 1), len(counts_K))
    return Geometry(
        counts_K,
        between=float(np.nanmean(apart_KK)),
        nearest=float(np.nanmax(apart_KK, axis=1).mean()),
        left_out=_left_out(x_nD[rows_m], labels[rows_m], sums_KD, counts_K) if len(rows_m) else None,
    )


def _some(rows_m: Ints, ways: int) -> Ints:
    """Thins out very many rows, evenly within each class."""
    most = max(1, _MOST_SCORES // ways)
    return rows_m if len(rows_m) <= most else rows_m[np.linspace(0, len(rows_m) - 1, most).astype(np.int64)]


def _left_out(x_mD: Reals, labels_m: Ints, sums_KD: Reals, counts_K: Ints) -> LeftOutMeans:
    """Scores examples without themselves. Only the mean of an example's own class changes, so no mean is made twice."""
    rows = np.arange(len(labels_m))
    along_mK = (x_mD @ sums_KD.T).astype(np.float64)
    squares_K = np.einsum("kd,kd->k", sums_KD, sums_KD).astype(np.float64)
    own_m, square_m = along_mK[rows, labels_m], np.einsum("md,md->m", x_mD, x_mD).astype(np.float64)
    others_m = np.maximum(squares_K[labels_m] - 2.0 * own_m + square_m, 0.0)  # squared norms of sums without the example
    scores_mK = along_mK / _norms(squares_K)
    scores_mK[rows, labels_m] = (own_m - square_m) / _norms(others_m)
    left_K = np.bincount(labels_m, minlength=len(counts_K))
    weights_m = len(rows) / (np.count_nonzero(left_K) * left_K[labels_m])
    return LeftOutMeans(
        log_likeliest=_log_likeliest(scores_mK, labels_m, weights_m),
        recognised=float(np.mean(weights_m * (scores_mK.argmax(axis=1) == labels_m))),
        within=float(np.mean(weights_m * (own_m - square_m) / (counts_K[labels_m] - 1))),
    )


def _norms(squares: Floats) -> Floats:
    """The norms, with 1 in place of 0: a zero vector keeps a score of zero."""
    return np.sqrt(np.where(squares > 0.0, squares, 1.0))


def _log_likeliest(scores_mK: Floats, labels_m: Ints, weights_m: Floats) -> float:
    """The log T where the slope of Σ weight · −log softmax(scores / T)[label] + 2 (log T − log 0.06)² changes its sign."""
    true_m = scores_mK[np.arange(len(labels_m)), labels_m]
    shifted_mK = scores_mK - scores_mK.max(axis=1, keepdims=True)
    low, high = _LEAST, _MOST
    for _ in range(_BISECTIONS):
        log = 0.5 * (low + high)
        shares_mK = np.exp(shifted_mK / math.exp(log))
        expected_m = np.einsum("mk,mk->m", shares_mK, scores_mK) / shares_mK.sum(axis=1)
        slope = float(weights_m @ (true_m - expected_m)) / math.exp(log) + 2.0 * _FIRMNESS * (log - _USUAL)
        low, high = (low, log) if slope > 0 else (log, high)
    return 0.5 * (low + high)
