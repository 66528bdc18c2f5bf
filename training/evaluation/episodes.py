"""Few-shot episodes: small classification tasks drawn from a set of classes, for measuring only.

Episode i depends on the seed and on i alone, so that any episode can be drawn again by itself, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Float32
from training.data.dataset import DataError

Indices = NDArray[np.int64]

# The protocol of evaluation; `headstart-train evaluate` can be asked for others.
WAYS, SHOTS, QUERIES = 5, (1, 5), 15


@dataclass(frozen=True, eq=False)
class Embedded:
    """Images of several classes: embeddings (N, D), and for each class the positions of its images."""

    embeddings: Float32
    by_class: Sequence[Indices]


@dataclass(frozen=True, slots=True)
class Episode:
    """One sampled task; entries index the dataset's images.

    Attributes:
        classes: (ways,) classes in the order of the episode's labels 0 … ways-1.
        support: (ways, shots); row k holds examples of `classes[k]`.
        query: (ways, queries); disjoint from `support`.
    """

    classes: Indices
    support: Indices
    query: Indices


def affordable_queries(by_class: Sequence[Indices], shots: int) -> int:
    """Returns the protocol's 15 queries per class, or as many as the smallest class has beside its shots; at least 1."""
    return max(1, min(QUERIES, min(map(len, by_class)) - shots))


@dataclass(frozen=True)
class EpisodeSampler:
    """Draws episodes uniformly: classes without replacement, then images of each class without replacement.

    Args:
        by_class: for each class, the positions of its images.

    Raises:
        DataError: there are fewer classes than `ways`, or a class has fewer than `shots + queries` images.
    """

    by_class: Sequence[Indices]
    ways: int
    shots: int
    queries: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.by_class) < self.ways:
            raise DataError(f"{self.ways}-way episodes need {self.ways} classes, got {len(self.by_class)}")
        smallest = min(len(images) for images in self.by_class)
        if smallest < self.shots + self.queries:
            raise DataError(f"{self.shots}-shot episodes with {self.queries} queries need more than {smallest} images per class")

    def episode(self, index: int) -> Episode:
        """Returns the episode of that number."""
        rng = np.random.Generator(np.random.PCG64((self.seed, self.ways, self.shots, index)))
        classes = rng.choice(len(self.by_class), self.ways, replace=False)
        images = np.stack([rng.choice(self.by_class[k], self.shots + self.queries, replace=False) for k in classes])
        return Episode(classes, images[:, : self.shots], images[:, self.shots :])
