"""A request's question about its images, and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Head
from models.novelty.support_index import Neighbours, SupportIndex


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The question which class of a task each image shows, and whether it shows one of them at all.

    Attributes:
        head: of the task, with K classes.
        index: of the task's support set; None not to ask for strangers.
        nearest: examples to find for each image.
    """

    head: Head
    index: SupportIndex | None = None
    nearest: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer for N images.

    Attributes:
        probabilities: float64 (N, K).
        neighbours: of each image in the support set; None where the question has no index.
    """

    probabilities: NDArray[np.float64]
    neighbours: Neighbours | None

    def of(self, rows: slice) -> "Answer":
        """Returns the answer for some of the images."""
        return Answer(self.probabilities[rows], self.neighbours and self.neighbours.of(rows))

    @classmethod
    def joined(cls, answers: "Sequence[Answer]") -> "Answer":
        """Returns the answer for the images of several answers to one question, one after another."""
        neighbours = [answer.neighbours for answer in answers if answer.neighbours is not None]
        probabilities = np.concatenate([answer.probabilities for answer in answers])
        return cls(probabilities, Neighbours.joined(neighbours) if neighbours else None)
