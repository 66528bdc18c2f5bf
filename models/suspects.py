"""Examples that may not belong where they are: labels that the other examples contradict, and images that are there twice.

Shape legend: n examples, D features, K classes, M background images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.heads import Float32
from models.leave_one_out import Ints, leave_one_out
from models.manifest import HeadOptions

# Chosen on validation classes with a tenth of the labels flipped: at 5, 10 and 20 shots most of what is found is found there.
SUSPICIOUS = 0.2

_RARELY_AS_ALIKE = 99  # percent of a sample of images of all kinds are less like their nearest
_ROWS = 1000  # of the matrix of similarities at a time


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example whose label the others contradict.

    Attributes:
        example: its index.
        suggested: the class that it is taken for.
        confidence: the probability of that class.
    """

    example: int
    suggested: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An example that is all but an earlier one.

    Attributes:
        example, of: indices, `of` the smaller.
        similarity: the cosine of their embeddings.
    """

    example: int
    of: int
    similarity: float


def suspects(features: Float32, labels: Ints, ways: int, prototype: HeadOptions) -> list[Suspect]:
    """Examples that the class means of the others give another label, and their own less than 20 %; the clearest first.

    Class means, and not the head that serves: a wrong label pulls one mean out of its place a little, where a discriminative
    head bends around it, and leaving an example out moves no intercept against its class.

    Args:
        features: (n, D), as `models.heads.features` makes them.
        labels: (n,), integers in [0, ways).
        prototype: the backbone's defaults for that solver.
    """
    left_out = leave_one_out(features, labels, ways, prototype)
    found = []
    for i in np.flatnonzero(left_out.judged):
        probabilities = left_out.probabilities[i]
        verdict = int(probabilities.argmax())
        if verdict != labels[i] and probabilities[labels[i]] < SUSPICIOUS:
            found.append((probabilities[labels[i]], Suspect(int(i), verdict, float(probabilities[verdict]))))
    return [suspect for _, suspect in sorted(found, key=lambda entry: entry[0])]


def duplicate_similarity(background: Float32) -> float:
    """How alike two images are that are taken for one: more than 99 of 100 images are like their nearest among the background.

    Args:
        background: features (M, D) that are not centred, of images of many kinds.
    """
    nearest = np.concatenate([similarities.max(axis=1) for similarities in _similarities(background, background)])
    return float(np.percentile(nearest, _RARELY_AS_ALIKE))


def duplicates(features: Float32, labels: Ints, least: float) -> list[Duplicate]:
    """For each example its nearest earlier one of the same class, and of any other class, where they are as alike as `least`.

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
    """Cosines of the rows of `a` and `b`, some rows of `a` at a time; of a row with itself minus infinity."""
    for start in range(0, len(a), _ROWS):
        similarities: Float32 = a[start : start + _ROWS] @ b.T
        np.fill_diagonal(similarities[:, start:], -np.inf)
        yield similarities
