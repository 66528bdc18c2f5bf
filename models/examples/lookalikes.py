"""Captures that look alike, so that one decision serves all of them, and captures that look like an example.

Shape legend: N captures, D features, n examples.
"""

import numpy as np

from models.arrays import Bools, Ints
from models.heads.head import Float32, features

_ALIKE = 0.85  # cosine of two images that one decision serves: of one kind, seen alike
_SEEN = 0.98  # cosine of an image with itself, scaled or saved again
_ROWS = 256  # of the matrix of cosines at a time


def grouped(embeddings: Float32, order: Ints, count: int) -> list[Ints]:
    """Returns groups of captures that look alike, each led by the first of its captures in `order`.

    The first capture leads the first group. It takes those with it that are no less like it than a fixed cosine. The first
    that is left leads the next group.

    Args:
        embeddings: (N, D).
        order: (N,) positions, the most important first.
        count: the most groups to return.

    Returns:
        At most `count` arrays of positions, in the order of their leaders.
    """
    ordered = features(embeddings, None)[order]
    free = np.ones(len(order), np.bool_)
    groups: list[Ints] = []
    while len(groups) < count and len(leaders := np.flatnonzero(free)[: min(_ROWS, count)]):
        alike = ordered[leaders] @ ordered.T >= _ALIKE
        for leader, like in zip(leaders, alike, strict=True):
            if free[leader] and len(groups) < count:
                like[leader] = True
                members = np.flatnonzero(free & like)
                free[members] = False
                # The leader comes first: those before it are no longer free.
                groups.append(order[members])
    return groups


def seen(embeddings: Float32, support: Float32) -> Bools:
    """Returns whether each capture, (N,), is nearly the same image as an example.

    Args:
        embeddings: (N, D).
        support: (n, D) embeddings of the examples.
    """
    captured, known = features(embeddings, None), features(support, None)
    found = np.zeros(len(captured), np.bool_)
    for start in range(0, len(captured), _ROWS):
        found[start : start + _ROWS] = (captured[start : start + _ROWS] @ known.T).max(axis=1, initial=-1.0) >= _SEEN
    return found
