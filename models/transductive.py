"""Many queries help each other: the images of one request make the class means better, and so each other's answers.

Soft k-means (Ren et al., Meta-Learning for Semi-Supervised Few-Shot Classification, ICLR 2018, equations 3 and 4), in cosines of
features that are centred on the base classes' mean, with two changes that keep it from harm:

- A query is compared with class means that it has no part in, so that none confirms itself.
- What the class means say is mixed with what the head says, less of it the fewer other queries there are:

      log p_ik = (1 − g) log h_ik + g κ cos(q_i, m_k without q_i) + const,     g = γ (Q − 1) / (Q − 1 + Q₀)
      m_k = Σ_{support of k} x + Σ_i w_i p_ik q_i

with h the head's probabilities: a request of one image is answered by the head alone. There is no prior for classes to be equally
frequent, which gains more where they are and loses where they are not (Veilleux et al., Realistic Evaluation of Transductive
Few-Shot Learning, NeurIPS 2021). κ, γ, Q₀ and the number of rounds were chosen on the validation classes of CIFAR-FS.

Shape legend: T tasks (any leading dimensions, or none), n examples of a task, Q queries, D features, K classes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads import Float32, softmax

_ROUNDS = 10
_KAPPA, _GAMMA, _OTHERS = 8.0, 0.75, 10.0

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]


def share_queries(
    alone: NDArray[np.float64], support: Float32, labels: Labels, query: Float32, weights: Floats | None = None
) -> NDArray[np.float64]:
    """The queries' probabilities, each in the light of the others.

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
    share = _GAMMA * (count - 1) / (count - 1 + _OTHERS)
    of_head = (1.0 - share) * np.log(np.maximum(alone, np.finfo(np.float64).tiny))
    support_sums = (labels[:, None] == np.arange(ways)).T.astype(np.float32) @ support
    counted_QK = np.zeros_like(alone, dtype=np.float32)
    for _ in range(_ROUNDS):
        sums = support_sums + counted_QK.swapaxes(-1, -2) @ query
        together = softmax(of_head + share * _KAPPA * _cosines_without(query, sums, counted_QK), 1.0)
        counted_QK = together.astype(np.float32) * (1.0 if weights is None else weights[..., None])
    return together


def _cosines_without(query: Float32, sums: Float32, counted: Float32) -> Float32:
    """(…, Q, K) cosines of each query with each class's sum (…, K, D) less what it counted for in it, (…, Q, K).

    With ‖q‖ = 1, ⟨q, S − c q⟩ = ⟨q, S⟩ − c and ‖S − c q‖² = ‖S‖² − 2 c ⟨q, S⟩ + c².
    """
    products = query @ sums.swapaxes(-1, -2)
    squares = np.vecdot(sums, sums)[..., None, :] - 2 * counted * products + counted * counted
    cosines: Float32 = (products - counted) / np.sqrt(np.maximum(squares, np.finfo(np.float32).eps))
    return cosines
