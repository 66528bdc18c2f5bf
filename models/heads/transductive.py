"""Transductive prediction: the images of one request improve the class means, and so each other's answers.

Soft k-means (Ren et al., Meta-Learning for Semi-Supervised Few-Shot Classification, ICLR 2018, equations 3 and 4), in cosines of
features that are centred on the base classes' mean. Three changes keep it from harm.

First, a query is compared with class means and class shares that it has no part in, so that none confirms itself.

Second, the class means' verdict is mixed with the head's. It counts less the fewer other queries there are, and the more
examples:

      log p_ik = (1 − g) log h_ik + g κ cos(q_i, m_k without q_i) + f(s) log π_k without q_i + const
      m_k = Σ_{support of k} x + Σ_i w_i p_ik q_i
      π_k = (Σ_i w_i p_ik + a) / (Σ_i w_i + K a)
      g = f(s) γ (Q − 1) / (Q − 1 + Q₀),     f(s) = max(0, (5 − s) / 4)

Here h are the head's probabilities and s is the number of examples a class. A request of one image is answered by the head
alone. So is every request from five examples a class on. From there class means know less than the head. They lose more where
classes are missing or unequally frequent than they gain elsewhere.

Third, classes that the other queries seldom belong to are less likely. Without that, absent classes take images of the frequent
ones, and move towards them (Veilleux et al., Realistic Evaluation of Transductive Few-Shot Learning, NeurIPS 2021). The prior of
`a` images of each class keeps the shares from dominating.

κ, a and the weight of the shares were chosen over six domains at one example a class (16 requests of 75 images each). Of seven
choices only this one was above the head on every domain, in requests of all five classes, of one, of two and of unequal shares.

Shape legend: T tasks (any leading dimensions, or none), n examples of a task, Q queries, D features, K classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.arrays import Ints, Reals
from models.heads.geometry import effective_shots
from models.heads.head import Float32, softmax

_ROUNDS = 10
_KAPPA, _GAMMA, _OTHERS = 16.0, 0.75, 10.0
_PRIOR = 10.0  # images of each class
_ENOUGH = 5  # examples a class
_ROUNDING = 1e-9


def are_shared(counts: Sequence[int], queries: int) -> bool:
    """Returns whether `share_queries` lets so many queries of one request help each other. If not, its answer is the head's
    alone.

    Args:
        counts: examples of each class.
    """
    return queries > 1 and _faded(counts) > 0.0


def share_queries(
    alone: NDArray[np.float64], support: Float32, labels: Ints, query: Float32, weights: Reals | None = None
) -> NDArray[np.float64]:
    """Returns the queries' probabilities, with every query helped by the others. They do not depend on the order of the queries.

    Args:
        alone: (…, Q, K) the head's probabilities.
        support: (…, n, D) centred features of norm one.
        labels: (n,) in [0, K); every class has an example.
        query: (…, Q, D) centred features of norm one.
        weights: (…, Q) how much each query counts for the class means, in [0, 1]; by default 1. Strangers should count little.

    Returns:
        (…, Q, K), rows summing to one.
    """
    count, ways = alone.shape[-2:]
    counts = np.bincount(labels, minlength=ways).tolist()
    if not are_shared(counts, count):
        return alone
    weight = np.ones((*alone.shape[:-1], 1)) if weights is None else weights[..., None].astype(np.float64)
    order = _order(alone, query, weight)
    alone, query, weight = (
        np.take_along_axis(each, order[..., None], axis=-2) for each in (alone, query.astype(np.float64), weight)
    )
    support_sums = (labels[:, None] == np.arange(ways)).T.astype(np.float64) @ support
    together = _shared(alone, query, weight, support_sums, _faded(counts))
    return np.take_along_axis(together, np.argsort(order, axis=-1)[..., None], axis=-2)


def _faded(counts: Sequence[int]) -> float:
    """Returns f for the examples of each class: 1 for one example, 0 from five on."""
    left = (_ENOUGH - effective_shots(counts)) / (_ENOUGH - 1)
    # With five examples everywhere, rounding may put the harmonic mean just below five.
    return left if left > _ROUNDING else 0.0


def _order(alone: Reals, query: Reals, weight: Reals) -> Ints:
    """Returns an order of the queries, (…, Q), that depends on their values alone. Sums in that order are rounded the same."""
    rows = np.ascontiguousarray(np.concatenate([alone, weight, query], axis=-1))
    as_bytes = rows.view(np.dtype((np.void, rows.shape[-1] * rows.itemsize)))[..., 0]
    return np.argsort(as_bytes, axis=-1)


def _shared(alone: Reals, query: Reals, weight: Reals, support_sums: Reals, faded: float) -> NDArray[np.float64]:
    """Runs the rounds, over queries in any order."""
    count = alone.shape[-2]
    share = faded * _GAMMA * (count - 1) / (count - 1 + _OTHERS)
    of_head = (1.0 - share) * np.log(np.maximum(alone, np.finfo(np.float64).tiny))
    counted, in_means = weight * alone, np.zeros_like(alone)
    for _ in range(_ROUNDS):
        cosines = _cosines_without(query, support_sums + in_means.swapaxes(-1, -2) @ query, in_means)
        others = counted.sum(axis=-2, keepdims=True) - counted + _PRIOR
        shares = np.log(others / others.sum(axis=-1, keepdims=True))
        together = softmax(of_head + share * _KAPPA * cosines + faded * shares, 1.0)
        counted = in_means = weight * together
    return together


def _cosines_without(query: Reals, sums: Reals, counted: Reals) -> Reals:
    """Returns the cosines (…, Q, K) of each query with each class's sum (…, K, D), less the query's own part of it (…, Q, K).

    With ‖q‖ = 1, ⟨q, S − c q⟩ = ⟨q, S⟩ − c and ‖S − c q‖² = ‖S‖² − 2 c ⟨q, S⟩ + c².
    """
    products = query @ sums.swapaxes(-1, -2)
    squares = np.vecdot(sums, sums)[..., None, :] - 2 * counted * products + counted * counted
    cosines: Reals = (products - counted) / np.sqrt(np.maximum(squares, np.finfo(np.float32).eps))
    return cosines
