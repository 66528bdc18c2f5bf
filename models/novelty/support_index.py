"""A task's support set as an index: a query's novelty, and the examples that it resembles most.

The index is flat: every row is compared. A number takes eight bits, with a scale for each row (scalar quantisation). That is a
quarter of float32's memory, and cosines of 640 numbers are off by some 3e-4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models.arrays import Ints, Reals
from models.heads.head import Float32
from models.novelty.detector import Background, Queries, fit_detector, novelty_of

_LARGEST = 127
_ROWS_AT_ONCE = 1024  # in float32 these stay in the core's cache


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The search results of Q queries.

    Attributes:
        novelty: (Q,) in [0, 1]: ½ at the detector's threshold, and more for strangers.
        examples: (Q, count) positions of the most similar examples, the most similar first.
        similarities: (Q, count) cosines with them.
    """

    novelty: Reals
    examples: Ints
    similarities: Float32

    def of(self, rows: slice) -> "Neighbours":
        """Returns the results of some of the queries."""
        return Neighbours(self.novelty[rows], self.examples[rows], self.similarities[rows])

    @classmethod
    def joined(cls, parts: "Sequence[Neighbours]") -> "Neighbours":
        """Returns the results of several searches of one index, one after another."""
        return cls(*(np.concatenate([getattr(part, name.name) for part in parts]) for name in fields(cls)))


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SupportIndex:
    """The index of n examples of K classes, and of M negatives, which only novelty is judged by.

    Attributes:
        codes: int8 (K + n + M, D), class means, examples and negatives, as features in the space of the novelty detector.
        scales: float32 (K + n + M,), factors that give the rows of codes norm one.
        ways, examples: K and n.
        usual, threshold: of the novelty detector.
    """

    codes: NDArray[np.int8]
    scales: Float32
    ways: int
    examples: int
    usual: float
    threshold: float

    @classmethod
    def of(cls, embeddings: Float32, labels: Ints, background: Background, negatives: Float32 | None = None) -> "SupportIndex":
        """Returns the index of a support set.

        Args:
            embeddings: (n, D).
            labels: (n,) in [0, K); every class has an example.
            background: of the same backbone.
            negatives: (M, D) of images of none of the classes; None for M = 0.
        """
        detector = fit_detector(embeddings, labels, background, negatives)
        rows = np.concatenate([detector.class_means, detector.examples, detector.negatives])
        largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        rounded = np.rint(rows * (_LARGEST / largest))
        # The scales restore norm one: no cosine exceeds one, and that of the same pixels is one.
        scales = (1.0 / np.maximum(np.linalg.norm(rounded, axis=1), 1.0)).astype(np.float32)
        ways = len(detector.class_means)
        return cls(rounded.astype(np.int8), scales, ways, len(labels), float(detector.usual), float(detector.threshold))

    @property
    def nbytes(self) -> int:
        """The size of the arrays in memory, in bytes."""
        return self.codes.nbytes + self.scales.nbytes

    def search(self, queries: Queries, background: Background, count: int) -> Neighbours:
        """Compares Q queries with every class and every example.

        Args:
            queries: images as that background sees them.
            background: of the backbone of the support set.
            count: examples to find for each query; all n, if there are fewer. Of equally similar ones the first is first.
        """
        cosines = self._cosines(queries)
        to_examples = cosines[:, self.ways : self.ways + self.examples]
        nearest = np.argsort(-to_examples, axis=1, kind="stable")[:, :count]
        novelty = self._novelty(cosines, queries, background)
        return Neighbours(novelty, nearest, to_examples[np.arange(len(cosines))[:, None], nearest])

    def novelty(self, queries: Queries, background: Background) -> Reals:
        """Returns the novelty (Q,) of queries, as `search` does, without looking for the examples that each resembles most."""
        return self._novelty(self._cosines(queries), queries, background)

    def _cosines(self, queries: Queries) -> Float32:
        """Returns the cosines of queries with every class, example and negative, (Q, K + n + M)."""
        cosines = np.empty((len(queries.features), len(self.codes)), np.float32)
        for start in range(0, len(self.codes), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            cosines[:, block] = queries.features @ self.codes[block].astype(np.float32).T
        cosines *= self.scales
        return cosines

    def _novelty(self, cosines: Float32, queries: Queries, background: Background) -> Reals:
        to_means, to_examples, to_negatives = np.split(cosines, [self.ways, self.ways + self.examples], axis=1)
        familiarity = background.familiarity(queries, to_means, to_examples.max(axis=1), to_negatives, self.usual)
        return novelty_of(familiarity, self.threshold)
