"""Which examples of a class are one thing seen several times: near-duplicates, and bursts, several shots of one visit.

A head fitted without one shot of a burst has seen the others, so that leaving them out one by one makes a task look better than
it is. Nothing but embeddings is known of the examples; how alike shots of one thing are, and how alike different things of one
class may be, depends on the domain: drawings of different hands are as alike as shots of one bottle. So likeness is measured
from where this task's classes are told apart:

    likeness = (cos − c) / (1 − c),     c = mean over the examples of the largest cosine with another class's example

0 is as alike as the nearest of another class, 1 the same pixels. What is taken for shots of one thing depends on how many
examples it would explain, since one pair may be a likeness by chance where a whole class or task of them is none:

    a pair alone                                                    likeness of 0.90
    three quarters of a class have a neighbour in it as alike as    0.78
    half of the task have a neighbour in their class as alike as    0.68

Where the classes have little in common c is low, and things of one class that are merely alike pass all three. So shots of one
thing must also be more alike than four of five images of all kinds are to their nearest (`least_similarity`).

The thresholds leave nearly all photographs without bursts ungrouped (`benchmarks.quality`); decision 0018 says how they were
chosen. Drawings of one character by different hands are as alike as shots of one thing, and are taken for such.

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
_ROWS = 1000  # of the matrix of cosines at a time


def least_similarity(background: Float32) -> float:
    """The cosine that shots of one thing have at least.

    Args:
        background: features (M, D) that are not centred, of images of many kinds.
    """
    own = np.arange(len(background))
    return float(np.percentile(_nearest(background, np.zeros_like(own))[0], _LESS_ALIKE))


def bursts(features: Float32, labels: Ints, least: float) -> Ints:
    """The group of each example, (n,): examples of one class that are shots of one thing share one, and others have their own.

    An example that another class has too is grouped with none: which of its labels is wrong, its neighbours must tell.

    Args:
        features: (n, D) of norm one, not centred.
        labels: (n,), integers; at least two classes.
        least: the cosine that shots of one thing have at least (`least_similarity`).
    """
    own, other = _nearest(features, labels)
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
            groups[alike] = alike[_joined(features[alike], cosine)]
    return groups


def _nearest(features: Float32, labels: Ints) -> tuple[Float32, Float32]:
    """The largest cosine of each example with another of its class, or -1, and with one of another class, (n,) each."""
    own, other = np.empty((2, len(labels)), np.float32)
    for rows, cosines in _cosines(features):
        same = labels[rows, None] == labels
        other[rows] = np.where(same, -1.0, cosines).max(axis=1)
        same[np.arange(len(cosines)), np.arange(len(labels))[rows]] = False
        own[rows] = np.where(same, cosines, -1.0).max(axis=1)
    return own, other


def _joined(features: Float32, least: float) -> Ints:
    """Of each row the first one that it hangs together with, by steps between rows whose cosine is at least that (single
    linkage: of a walk around a thing only neighbouring shots are alike).
    """
    first = np.arange(len(features))
    for rows, cosines in _cosines(features):
        for i, alike in zip(np.arange(len(features))[rows], cosines >= least, strict=True):
            alike[i] = True
            together = np.unique(first[alike])
            if len(together) > 1:
                first[np.isin(first, together)] = together[0]
    return first


def _cosines(features: Float32) -> Iterator[tuple[slice, Float32]]:
    for start in range(0, len(features), _ROWS):
        rows = slice(start, start + _ROWS)
        yield rows, features[rows] @ features.T
