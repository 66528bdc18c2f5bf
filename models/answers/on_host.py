"""Answers on the CPU, by NumPy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.answers.question import Answer, Question
from models.heads.head import EmbeddingSpace, Float32
from models.novelty.detector import Background


@dataclass(frozen=True, slots=True, eq=False)
class HostAnswers:
    """Answers questions about images of one backbone. Thread-safe.

    Attributes:
        space: of the backbone.
        background: returns the backbone's background. It is called only where a question has an index.
    """

    space: EmbeddingSpace
    background: Callable[[], Background]

    def __call__(self, embeddings: Float32, asked: Sequence[tuple[Question, slice]]) -> list[Answer]:
        """Returns an answer to each question.

        What the questions share is computed once: the features that heads read and those that indices search, and everything
        about one task that several requests ask.

        Args:
            embeddings: (N, D), of the images of a batch.
            asked: the questions, and the rows of the images that each is about.

        Raises:
            BackboneMismatch: a head was fitted in another space.
        """
        background = self.background() if any(question.index for question, _ in asked) else None
        queries = background.queries(embeddings) if background else None
        features = {
            centre: self.space.features(embeddings, centre) for centre in {question.head.options.centre for question, _ in asked}
        }
        answers: list[Answer | None] = [None] * len(asked)
        for alike in _by_task(asked):
            question = asked[alike[0]][0]
            rows = [asked[position][1] for position in alike]
            one = rows[0] if len(rows) == 1 else np.concatenate([np.arange(part.start, part.stop) for part in rows])
            probabilities = question.head.probabilities_of(features[question.head.options.centre][one], self.space)
            neighbours = None
            if question.index is not None and background is not None and queries is not None:
                neighbours = question.index.search(queries.of(one), background, question.nearest)
            answer, start = Answer(probabilities, neighbours), 0
            for position, part in zip(alike, rows, strict=True):
                stop = start + part.stop - part.start
                answers[position] = answer if len(rows) == 1 else answer.of(slice(start, stop))
                start = stop
        return [answer for answer in answers if answer is not None]


def _by_task(asked: Sequence[tuple[Question, slice]]) -> list[list[int]]:
    """Returns the positions of the questions, together where they ask the same of the same task."""
    alike: dict[tuple[int, int, int], list[int]] = {}
    for position, (question, _) in enumerate(asked):
        alike.setdefault((id(question.head), id(question.index), question.nearest), []).append(position)
    return list(alike.values())
