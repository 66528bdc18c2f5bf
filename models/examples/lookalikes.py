"""Images of a pool that look alike, so that one decision serves all of them, and images that are examples already.

Both compare cosines of embeddings that are not centred. Centring on the pool's mean would tell kinds of picture apart better. But
a pool may be twenty shots of one thing, and of those the mean leaves nothing but noise. Decision 0105 says how the bounds were
chosen.

Shape legend: N images of the pool, D features, n examples.
"""

import numpy as np

from models.arrays import Bools, Ints
from models.heads.head import Float32, features

_ALIKE = 0.85  # least cosine with the leader: at most 1.5 in 100 groups of several images mixed classes, on four kinds of picture
_ROWS = 256  # of the matrix of cosines at a time


def grouped(embeddings: Float32, order: Ints, count: int) -> list[Ints]:
    """Returns groups of images that look alike, each led by the first of its images in `order`.

    The first image leads the first group. It takes those with it that are no less like it than a fixed cosine. The first
    that is left leads the next group.

    Args:
        embeddings: (N, D).
        order: (N,) positions, the most important first.
        count: the most groups to return.

    Returns:
        At most `count` arrays of positions, in the order of their leaders.
    """
    norms = np.sqrt(np.vecdot(embeddings, embeddings))
    free = np.ones(len(order), np.bool_)
    groups: list[Ints] = []
    while len(groups) < count and len(leaders := np.flatnonzero(free)[: min(_ROWS, count)]):
        led_by = order[leaders]
        alike = ((embeddings[led_by] @ embeddings.T) >= _ALIKE * norms[led_by, None] * norms)[:, order]
        for leader, like in zip(leaders, alike, strict=True):
            if free[leader] and len(groups) < count:
                like[leader] = True
                members = np.flatnonzero(free & like)
                free[members] = False
                # The leader comes first: those before it are no longer free.
                groups.append(order[members])
    return groups


def seen(embeddings: Float32, support: Float32, similarity: float) -> Bools:
    """Returns whether each image, (N,), is nearly the same as an example.

    Args:
        embeddings: (N, D).
        support: (n, D) embeddings of the examples.
        similarity: the cosine from which two images count as one (`models.examples.suspects.duplicate_similarity`).
    """
    pool, known = features(embeddings, None), features(support, None)
    found = np.zeros(len(pool), np.bool_)
    for start in range(0, len(pool), _ROWS):
        found[start : start + _ROWS] = (pool[start : start + _ROWS] @ known.T).max(axis=1, initial=-1.0) >= similarity
    return found
