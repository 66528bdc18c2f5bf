"""Heads of tasks in which an image may have any number of labels: each label against the rest, independently of the others.

One ridge regression to targets of ±1 serves all labels at once: they share the features, and so the system that is solved. A
label's score s is told from the mean t̄ of its targets:

    v = (s − t̄) / (1 − t̄),     u = v / mean of v over the examples that have the label,     p = sigmoid(a u + b + ½ log-odds of r)

So u is 0 for an image like all examples together and 1 for the usual example that has the label, however rare the label is and
whatever C is. The numbers a and b are of the task: a logistic regression (Platt, 1999) on the left-out scores of all examples and
labels, in which the examples with a label weigh as much as those without. A Gaussian prior keeps them sane where there are few
examples. r is the mean share of the labels in the examples. It counts half, since the queries' share may differ; which labels are
rare among the examples says nothing of the queries. All of it is folded into weight and bias. The constants were chosen on
validation classes; see decision 0111.

Leaving an example out is exact and in closed form (`models.heads.solvers.ridge.left_out_scores` says how).

Shape legend: n examples, D features, K labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.arrays import Bools, Floats, Ints, Reals
from models.heads.head import EmbeddingSpace, Float32, Head, sigmoid
from models.heads.solvers.groups import by_size
from models.labels import LabelSet
from models.manifest import HeadOptions

OPTIONS = HeadOptions(solver="ridge", C=3.0, centre=False, temperature=1.0)
"""The default options. The temperature is always 1, since the scores are calibrated by left-out examples."""

_SLOPE, _INTERCEPT = 4.0, -0.3  # the prior's means of a and b
_PRIOR = 10.0  # the prior's inverse variance of b, and of a as a share of its mean
_OF_SHARE = 0.5
_LEAST_SLOPE = 0.1  # of the prior's: a label whose left-out scores contradict it gets a flat answer, never an inverted one
_STEPS, _CONVERGED = 30, 1e-9
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LeftOutLabels:
    """The judgements of n examples by heads that were fitted without them.

    Attributes:
        judged: bool (n, K); whether a head without the example's group knows images with the label and without it.
        probabilities: float64 (n, K); NaN where it is not judged.
        groups: (n,) numbers from 0; examples left out together share one.
    """

    judged: Bools
    probabilities: Floats
    groups: Ints

    @property
    def weights(self) -> Floats:
        """The weight of each example (n,), so that each group counts as one."""
        weights: Floats = 1.0 / np.bincount(self.groups)[self.groups]
        return weights


def targets_of(label_sets: Sequence[LabelSet]) -> tuple[tuple[str, ...], Bools]:
    """Returns the K labels in the order of their first example, and which of them each example has, (n, K)."""
    labels = tuple(dict.fromkeys(label for labels in label_sets for label in labels))
    column = {label: k for k, label in enumerate(labels)}
    has = np.zeros((len(label_sets), len(labels)), np.bool_)
    for row, own in enumerate(label_sets):
        has[row, [column[label] for label in own]] = True
    return labels, has


def fit_labels(embeddings: Float32, label_sets: Sequence[LabelSet], space: EmbeddingSpace, options: HeadOptions) -> Head:
    """Fits one task's head, whose scores are independent.

    Args:
        embeddings: (n, D), made by the backbone of `space`.
        label_sets: the labels of each of n examples, some perhaps without any.

    Raises:
        ValueError: there is no label, or an example lacks none of them, or not as many sets as embeddings.
    """
    labels, has_nK = targets_of(label_sets)
    _check(embeddings, has_nK)
    fitted = _Ridge.of(space.features(embeddings, options.centre), has_nK, options.C)
    slope, offset = _calibration(fitted, has_nK)
    mean_K = fitted.targets.mean(axis=0)
    scale_K = slope / ((1.0 - mean_K) * fitted.usual)
    weight = (scale_K[:, None] * fitted.weight).astype(np.float32)
    bias = (scale_K * (fitted.bias - mean_K) + offset).astype(np.float32)
    return Head(labels, weight, bias, options, space.backbone, independent=True)


def leave_labels_out(features: Reals, has_nK: Bools, options: HeadOptions, groups: Ints) -> LeftOutLabels:
    """Judges each example by the scores of the head that is fitted without its group, calibrated as that of all examples is.

    Args:
        features: (n, D), as `models.heads.head.features` makes them.
        has_nK: which labels each example has; each label has an example with it and one without.
        groups: (n,) integers: examples with the same number are left out together.
    """
    _check(features, has_nK)
    _, groups = np.unique(groups, return_inverse=True)
    fitted = _Ridge.of(features, has_nK, options.C)
    slope, offset = _calibration(fitted, has_nK)
    judged = _known_without(has_nK, groups)
    values = np.where(judged, fitted.left_out(groups), np.nan)
    return LeftOutLabels(judged, sigmoid(slope * values + offset), groups)


def _check(rows: Reals, has_nK: Bools) -> None:
    if len(rows) != len(has_nK):
        raise ValueError(f"{len(rows)} examples and the labels of {len(has_nK)} do not belong together")
    if not has_nK.shape[1]:
        raise ValueError("a head needs at least one label")
    if not (has_nK.any(axis=0) & ~has_nK.all(axis=0)).all():
        raise ValueError("every label needs an example that has it and one that has it not")


def _known_without(has_nK: Bools, groups: Ints) -> Bools:
    """Returns whether examples with each label and without it are left once an example's group is, (n, K)."""
    with_GK, without_GK = (np.zeros((groups.max() + 1, has_nK.shape[1])) for _ in range(2))
    np.add.at(with_GK, groups, has_nK)
    np.add.at(without_GK, groups, ~has_nK)
    known: Bools = ((with_GK < has_nK.sum(axis=0)) & (without_GK < (~has_nK).sum(axis=0)))[groups]
    return known


@dataclass(frozen=True, slots=True, eq=False)
class _Ridge:
    """A ridge regression to targets of ±1, and what leaving examples out of it takes.

    Attributes:
        centred: (n, D) features.
        targets: (n, K).
        weight: (K, D).
        bias: (K,).
        inverse: of the regularised system: (n, n) times the Gram matrix where n < D, and else (D, D).
        usual: (K,) the mean of v over the examples that have each label.
    """

    centred: Floats
    targets: Floats
    weight: Floats
    bias: Floats
    inverse: Floats
    usual: Floats

    @classmethod
    def of(cls, features: Reals, has_nK: Bools, C: float) -> "_Ridge":
        x_nD, y_nK = features.astype(np.float64), np.where(has_nK, 1.0, -1.0)
        x_mean, y_mean = x_nD.mean(axis=0), y_nK.mean(axis=0)
        x, y = x_nD - x_mean, y_nK - y_mean
        n, D = x.shape
        if n < D:
            gram = x @ x.T
            solved = np.linalg.solve(gram + np.eye(n) / C, np.concatenate([gram, y], axis=1))
            inverse, weight_KD = solved[:, :n], solved[:, n:].T @ x
        else:
            inverse = np.linalg.inv(x.T @ x + np.eye(D) / C)
            weight_KD = y.T @ x @ inverse
        v_nK = x @ weight_KD.T / (1.0 - y_mean)
        # Positive, unless all features are equal: then every v is zero.
        usual_K = np.maximum((v_nK * has_nK).sum(axis=0) / has_nK.sum(axis=0), _TINY)
        return cls(x, y_nK, weight_KD, y_mean - weight_KD @ x_mean, inverse, usual_K)

    def left_out(self, groups: Ints) -> Floats:
        """Returns u (n, K) of each example from the fit without its group, by the `usual` v of all examples. It is not finite
        where that fit has no example of a kind.
        """
        n = len(self.targets)
        residuals = self.targets - self.targets.mean(axis=0) - self.centred @ self.weight.T
        for g in by_size(groups):  # (groups of one size, that size)
            residuals[g] = np.linalg.solve(np.eye(g.shape[1]) - self._hat(g), residuals[g])
        sizes = np.bincount(groups).astype(np.float64)
        sums_GK = np.zeros((len(sizes), self.targets.shape[1]))
        np.add.at(sums_GK, groups, self.targets)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = ((self.targets.sum(axis=0) - sums_GK) / (n - sizes)[:, None])[groups]
            values: Floats = (self.targets - residuals - means) / ((1.0 - means) * self.usual)
        return values

    def _hat(self, g: Ints) -> Floats:
        """Returns the part of the hat matrix for the examples of each group, (…, size, size)."""
        n, D = self.centred.shape
        if n < D:
            hat: Floats = 1.0 / n + self.inverse[g[:, :, None], g[:, None, :]]
            return hat
        of_large: Floats = 1.0 / n + (self.centred @ self.inverse)[g] @ self.centred[g].mT
        return of_large


def _calibration(fitted: _Ridge, has_nK: Bools) -> tuple[float, float]:
    """Returns a, and b with the part of the labels' share, by Newton's method on the posterior."""
    alone = np.arange(len(has_nK))
    counts = np.stack([(~has_nK).sum(axis=0), has_nK.sum(axis=0)])
    usable = counts.min(axis=0) > 1
    values, has = fitted.left_out(alone)[:, usable], has_nK[:, usable]
    smaller = counts.min(axis=0)[usable]
    weights = np.where(has, smaller / counts[1, usable], smaller / counts[0, usable]).ravel()
    v, y = values.ravel(), has.ravel().astype(np.float64)
    a, b = _SLOPE, _INTERCEPT
    for _ in range(_STEPS):
        p = sigmoid(a * v + b)
        excess, curve = weights * (p - y), weights * p * (1.0 - p)
        gradient = np.array([excess @ v + _PRIOR * (a / _SLOPE - 1.0) / _SLOPE, excess.sum() + _PRIOR * (b - _INTERCEPT)])
        mixed = curve @ v
        hessian = np.array([[curve @ v**2 + _PRIOR / _SLOPE**2, mixed], [mixed, curve.sum() + _PRIOR]])
        step = np.linalg.solve(hessian, gradient)
        before = a, b
        a, b = max(a - float(step[0]), _LEAST_SLOPE * _SLOPE), b - float(step[1])
        if abs(a - before[0]) + abs(b - before[1]) < _CONVERGED:
            break
    share = float((counts[1] + 1.0).sum() / (counts.sum() + 2.0 * has_nK.shape[1]))
    return a, b + _OF_SHARE * float(np.log(share / (1.0 - share)))
