"""Groups of examples that show one thing: near-duplicates, and bursts, several shots of one visit.

A head fitted without one shot of a burst has seen the others. So leaving shots out one by one makes a task look better than it
is. Only the embeddings of the examples are known. Neither the likeness of shots of one thing nor that of different things of one
class has a fixed value: drawings of different hands are as alike as shots of one bottle. So likeness is measured from the point
where this task's classes are told apart:

    likeness = (cos − c) / (1 − c),     c = mean over the examples of the largest cosine with another class's example

0 is as alike as the nearest of another class, 1 the same pixels. The likeness that makes a pair one thing depends on the number
of examples it would explain. A single pair may be alike by chance; a whole class or task of such pairs is not:

    a pair alone                                                    likeness of 0.90
    three quarters of a class have a neighbour in it as alike as    0.78
    half of the task have a neighbour in their class as alike as    0.68

Where the classes have little in common c is low, and things of one class that are merely alike pass all three. So shots of one
thing must also be more alike than four of five images of all kinds are to their nearest (`least_similarity`).

The thresholds leave nearly all photographs without bursts ungrouped (`benchmarks.quality`); decision 0018 says how they were
chosen. Drawings of one character by different hands are as alike as shots of one thing, and are grouped too.

Shape legend: n examples, D features.
"""

from collections.abc import Iterator

import numpy as np

from models.arrays import Ints
from models.heads.head import Float32

_PAIR, _CLASS, _TASK = 0.90, 0.78, 0.68
_LESS_ALIKE = 80  # percent of images of all kinds
_SHARE_OF_CLASS, _FEWEST_OF_CLASS, _SHARE_OF_TASK = 0.75, 3, 0.5
_ROUNDING = 1e-4
_ROWS = 1000


def least_similarity(background: Float32) -> float:
    """Returns the least cosine that shots of one thing have.

    Args:
        background: features (M, D) that are not centred, of images of many kinds.
    """
    own = np.arange(len(background))
    return float(np.percentile(_nearest(background, np.zeros_like(own))[0], _LESS_ALIKE))


def bursts(features: Float32, labels: Ints, least: float, rows: int = _ROWS) -> Ints:
    """Returns the group of each example, (n,): shots of one thing share a group, and other examples have their own.

    A group lies within one class. An example that another class has too is grouped with none: its neighbours must tell which of
    its labels is wrong.

    Args:
        features: (n, D) of norm one, not centred.
        labels: (n,), integers; at least two classes.
        least: the least cosine that shots of one thing have (`least_similarity`).
        rows: of the matrix of cosines that are in memory at once.
    """
    own, other = _nearest(features, labels, rows)
    c = other.mean()
    likeness = np.where(own >= least, (own - c) / max(1.0 - c, _ROUNDING), 0.0)
    of_task = _TASK if (likeness >= _TASK).mean() >= _SHARE_OF_TASK else _PAIR
    groups = np.arange(len(labels))
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        of_label = of_task
        if len(of_class) >= _FEWEST_OF_CLASS and (likeness[of_class] >= _CLASS).mean() >= _SHARE_OF_CLASS:
            of_label = min(of_label, _CLASS)
        cosine = max(least, c + of_label * (1.0 - c))
        alike = of_class[(own[of_class] >= cosine) & (other[of_class] + _ROUNDING < cosine)]
        if len(alike):
            groups[alike] = alike[_joined(features[alike], cosine, rows)]
    return groups


def _nearest(features: Float32, labels: Ints, rows_at_once: int = _ROWS) -> tuple[Float32, Float32]:
    """Returns each example's largest cosine with another of its class, or -1, and with one of another class, (n,) each."""
    own, other = np.empty((2, len(labels)), np.float32)
    for rows, cosines in _cosines(features, rows_at_once):
        same = labels[rows, None] == labels
        other[rows] = np.where(same, -1.0, cosines).max(axis=1)
        same[np.arange(len(cosines)), np.arange(len(labels))[rows]] = False
        own[rows] = np.where(same, cosines, -1.0).max(axis=1)
    return own, other


def _joined(features: Float32, least: float, rows_at_once: int) -> Ints:
    """Returns, for each row, the first row of its connected group, (n,).

    Two rows are linked if their cosine is at least `least`. This is single linkage: on a walk around a thing only neighbouring
    shots are alike.
    """
    first = np.arange(len(features))
    for rows, cosines in _cosines(features, rows_at_once):
        for i, alike in zip(np.arange(len(features))[rows], cosines >= least, strict=True):
            alike[i] = True
            together = np.unique(first[alike])
            if len(together) > 1:
                first[np.isin(first, together)] = together[0]
    return first


def _cosines(features: Float32, rows_at_once: int) -> Iterator[tuple[slice, Float32]]:
    for start in range(0, len(features), rows_at_once):
        rows = slice(start, start + rows_at_once)
        yield rows, features[rows] @ features.T
