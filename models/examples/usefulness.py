"""Usefulness of images: how much a task learns if a person labels them. Active learning for a few labels.

With few examples a head errs where it has seen nothing, more than where it hesitates. So the images are chosen that cover the
pool best, with the examples at hand. The one that adds most comes first (facility location, Krause & Golovin, Submodular Function
Maximization, 2014; coverage for few labels, Yehuda et al., NeurIPS 2022):

    gain(j) = u_j (1 − m_j)^p Σ_i u_i max(0, k(i, j) − c_i),    k(i, j) = exp((cos(x_i, x_j) − 1) / t)

c_i is the largest k(i, ·) with an example or with an image chosen before. u = 1 − novelty is how likely an image is of the task's
classes: a stranger's label teaches nothing, and need not be covered. m is the margin between the two likeliest classes. Doubt
counts a little: alone it chooses strangers and outliers. The features x are centred on the pool's mean, which tells its images
apart whatever kind of picture they are. Decision 0105 says how t and p were chosen.

Shape legend: N images of the pool, R of them compared, D features, K classes, n examples.
"""

import heapq

import numpy as np

from models.arrays import Floats, Ints, Reals
from models.heads.head import Float32, features

_WIDTH, _POWER = 0.5, 0.3  # t and p
_LEAST_DOUBT = 1e-3  # of 1 − m, so that a head that is sure of all images still has an order of them
_COMPARED = 1000  # images, evenly spread over the pool
_PICKED = 100  # one after another


def by_usefulness(embeddings: Float32, probabilities: Floats, novelty: Reals, support: Float32) -> Ints:
    """Returns the positions of the pool, (N,), the most useful first.

    The order is for labels given in turn: each image is chosen as if those before it had been labelled. The first hundred are
    chosen so, the others follow by what they would add to them. Of a pool of more than 1,000 images that many are compared. The
    others come last, the least strange first.

    Args:
        embeddings: (N, D).
        probabilities: (N, K) by the task's head.
        novelty: (N,) in [0, 1], ½ at the threshold and more for strangers (`models.novelty.detector.novelty_of`).
        support: (n, D) embeddings of the examples.
    """
    if not len(embeddings):
        return np.empty(0, np.int64)
    rows = np.unique(np.linspace(0, len(embeddings) - 1, min(len(embeddings), _COMPARED)).astype(np.int64))
    mean = embeddings.mean(axis=0)
    x, familiar = features(embeddings[rows], mean), (1.0 - novelty[rows]).astype(np.float32)
    kernel = _kernel(x @ x.T)
    covered = _kernel(x @ features(support, mean).T).max(axis=1, initial=0.0)
    useful = familiar * _doubt(probabilities[rows]).astype(np.float32)
    first = rows[_greedy(kernel, covered, familiar, useful)]
    others = np.delete(np.arange(len(embeddings)), rows)
    order: Ints = np.concatenate([first, others[np.argsort(novelty[others], kind="stable")]])
    return order


def _doubt(probabilities: Floats) -> Floats:
    """Returns (1 − m)^p, (R,); of a single class no image is more doubtful than another."""
    ranked = np.sort(probabilities, axis=1)
    margins = ranked[:, -1] - ranked[:, -2] if ranked.shape[1] > 1 else np.zeros(len(ranked))
    doubt: Floats = np.maximum(1.0 - margins, _LEAST_DOUBT) ** _POWER
    return doubt


def _kernel(cosines: Float32) -> Float32:
    kernel: Float32 = np.exp((cosines - np.float32(1.0)) / np.float32(_WIDTH))
    return kernel


def _greedy(kernel: Float32, covered: Float32, familiar: Float32, useful: Float32) -> Ints:
    """Returns the order (R,) by gain, from the kernel (R, R), the examples' coverage c (R,), u (R,) and u (1 − m)^p (R,).

    No gain grows when another image is chosen. So an image whose gain, made anew, exceeds the earlier gains of the others is the
    best (Minoux, Accelerated greedy algorithms, 1978).
    """
    gains = useful * (np.maximum(kernel - covered, 0.0) @ familiar)
    queue = [(-gain, j) for j, gain in enumerate(gains.tolist())]
    heapq.heapify(queue)
    picked: list[int] = []
    while queue and len(picked) < _PICKED:
        _, j = queue[0]
        gain = float(useful[j] * (familiar @ np.maximum(kernel[j] - covered, 0.0)))
        heapq.heapreplace(queue, (-gain, j))
        if queue[0][1] == j:
            heapq.heappop(queue)
            picked.append(j)
            covered = np.maximum(covered, kernel[j])
    others = np.delete(np.arange(len(useful)), picked)
    last = useful[others] * (np.maximum(kernel[others] - covered, 0.0) @ familiar)
    order: Ints = np.concatenate([np.array(picked, np.int64), others[np.argsort(-last, kind="stable")]])
    return order
