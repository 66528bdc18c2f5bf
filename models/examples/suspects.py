"""Examples that may not belong where they are: labels that the other examples contradict, and duplicate images.

Shape legend: n examples, D features, K classes, M background images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.arrays import Floats, Ints
from models.heads.head import Float32
from models.heads.head import features as normalised
from models.heads.leave_one_out import leave_one_out
from models.manifest import HeadOptions

# A suspect's margin is at least this far below zero, and at least this far below this part of the task's median margin (cosines).
# Chosen on five kinds of picture, with all labels right and with a tenth of them wrong; see decision 0015.
_LEAST, _FAR, _OF_MEDIAN = 0.18, 0.34, 0.5

_RARELY_AS_ALIKE = 99  # percent of a sample of images of all kinds are less like their nearest neighbour
_ROWS = 1000  # of the matrix of similarities at a time


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example whose label the others contradict.

    Attributes:
        example: its index.
        suggested: the class that the others suggest.
        confidence: the probability of that class.
    """

    example: int
    suggested: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An example that is nearly the same as an earlier one.

    Attributes:
        example, of: indices, `of` the smaller.
        similarity: the cosine of their embeddings.
    """

    example: int
    of: int
    similarity: float


def suspects(features: Float32, labels: Ints, ways: int, prototype: HeadOptions) -> list[Suspect]:
    """Returns the examples whose label the others contradict, the clearest first.

    An example is a suspect if the class means of the other examples give it another label, by a margin far below the task's
    usual one.

    Class means are used and not the head that serves. A wrong label moves one mean a little, where a discriminative head bends
    around it. Leaving an example out moves no intercept against its class. Features are centred on the task's own mean, which
    tells its classes apart whatever kind of picture they are of.

    The margin is the cosine with the mean of the own class less the highest with another. Where classes are hard to tell apart,
    many right labels have a margin below zero, but few lie far below the median. A tenth of wrong labels moves the median
    little. The median counts in part, since where it is high right margins vary more.

    Args:
        features: (n, D), as `models.heads.head.features` makes them.
        labels: (n,), integers in [0, ways).
        prototype: the backbone's defaults for that solver.
    """
    left_out = leave_one_out(_centred(features, labels, ways), labels, ways, prototype)
    rows = np.flatnonzero(left_out.judged)
    if not len(rows):
        return []
    probabilities, own = left_out.probabilities[rows], labels[rows]
    margins = prototype.temperature * _log_odds(probabilities, own)
    far_below = margins < min(-_LEAST, _OF_MEDIAN * float(np.median(margins)) - _FAR)
    verdicts = probabilities.argmax(axis=1)
    found = np.flatnonzero(far_below)
    return [
        Suspect(int(rows[i]), int(verdicts[i]), float(probabilities[i, verdicts[i]])) for i in found[np.argsort(margins[found])]
    ]


def _centred(features: Float32, labels: Ints, ways: int) -> Float32:
    """Returns features of norm one, (n, D), centred on the mean of the class means, so that no class counts more."""
    one_hot_nK = np.eye(ways, dtype=features.dtype)[labels]
    centre = (one_hot_nK.T @ features / one_hot_nK.sum(axis=0)[:, None]).mean(axis=0)
    centred: Float32 = normalised(features, centre)
    return centred


def _log_odds(probabilities: Floats, own: Ints) -> Floats:
    """Returns the log odds (m,) of the own class against the likeliest other, from probabilities (m, K); infinite without
    another.
    """
    logits = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    of_own = np.take_along_axis(logits, own[:, None], axis=1)[:, 0]
    others = np.where(np.arange(probabilities.shape[1]) == own[:, None], -np.inf, logits)
    log_odds: Floats = of_own - others.max(axis=1, initial=-np.inf)
    return log_odds


def duplicate_similarity(background: Float32) -> float:
    """Returns the least cosine of two images that count as one: 99 of 100 images are less like their nearest in the background.

    Args:
        background: features (M, D) that are not centred, of images of many kinds.
    """
    nearest = np.concatenate([similarities.max(axis=1) for similarities in _similarities(background, background)])
    return float(np.percentile(nearest, _RARELY_AS_ALIKE))


def duplicates(features: Float32, labels: Ints, least: float) -> list[Duplicate]:
    """Returns, for each example, its nearest earlier one of the same class and of any other class, if their cosine is at least
    `least`.

    Args:
        features: (n, D), not centred.
        labels: (n,), integers.
    """
    found = []
    start = 0
    for similarities in _similarities(features, features):
        rows = np.arange(start, start + len(similarities))
        earlier = np.arange(len(features)) < rows[:, None]
        same = labels[rows, None] == labels
        for among in (earlier & same, earlier & ~same):
            within = np.where(among, similarities, -np.inf)
            of = within.argmax(axis=1)
            alike = np.take_along_axis(within, of[:, None], axis=1)[:, 0]
            found += [Duplicate(int(rows[i]), int(of[i]), float(alike[i])) for i in np.flatnonzero(alike >= least)]
        start += len(similarities)
    return sorted(found, key=lambda duplicate: (duplicate.example, duplicate.of))


def _similarities(a: Float32, b: Float32) -> Iterator[Float32]:
    """Returns cosines of the rows of `a` and `b`, some rows of `a` at a time. A row's cosine with itself is minus infinity."""
    for start in range(0, len(a), _ROWS):
        similarities: Float32 = a[start : start + _ROWS] @ b.T
        np.fill_diagonal(similarities[:, start:], -np.inf)
        yield similarities
