"""From embeddings to the columns of a table: the answers of each task, as the server would give them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.answers.classifier import Classifier
from models.answers.verdicts import APPLIES, ranked, verdict_of
from scoring.embed import Embedded, HeadSpace

Column = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Named:
    """A classifier with the name that its columns begin with."""

    prefix: str
    classifier: Classifier


def named(classifiers: Sequence[Classifier]) -> list[Named]:
    """Returns the classifiers with their names, or with name and id where several have one name."""
    names = [each.name for each in classifiers]
    return [Named(each.name if names.count(each.name) == 1 else f"{each.name}_{each.task}", each) for each in classifiers]


def described(classifiers: Sequence[Classifier]) -> list[str]:
    """Returns what a result tells of its tasks: the name, id and version of each."""
    return [f"{each.name} ({each.task}), version {each.version}" for each in classifiers]


def columns(embedded: Embedded, backbones: Sequence[HeadSpace], tasks: Sequence[Named], top_k: int) -> dict[str, Column]:
    """Returns the columns of N images, each with N values, as `scoring.write.schema` declares them.

    Args:
        backbones: those that embedded, in order.
        top_k: scores to give.
    """
    count = len(embedded.paths)
    first = [next((of_one[row] for of_one in embedded.errors if of_one[row]), None) for row in range(count)]
    found: dict[str, Column] = {
        "path": embedded.paths,
        "bytes": embedded.sizes,
        "error": [error and error[0] for error in first],
        "detail": [error and error[1] for error in first],
    }
    for task in tasks:
        at = [backbone.ref for backbone in backbones].index(task.classifier.head.backbone)
        rows = [row for row, error in enumerate(embedded.errors[at]) if error is None]
        answered = _answers(task.classifier, embedded.embeddings[at], backbones[at], top_k)
        for name, values in answered.items():
            column: list[Any] = [None] * count
            for row, value in zip(rows, values, strict=True):
                column[row] = value
            found[f"{task.prefix}_{name}"] = column
    return found


def _answers(classifier: Classifier, embeddings: NDArray[np.float32], backbone: HeadSpace, top_k: int) -> dict[str, Column]:
    head = classifier.head
    probabilities, novelties = classifier.answer(embeddings, backbone.space, backbone.background)
    ranking, scores = ranked(probabilities, None)
    names = [[head.labels[k] for k in classes] for classes in ranking.tolist()]
    verdicts = [verdict_of(novelty) for novelty in novelties.tolist()]
    found: dict[str, Column] = {
        "label": [each[0] for each in names],
        "probability": scores[:, 0].tolist(),
        "known": [known for known, _ in verdicts],
        "novelty": [told for _, told in verdicts],
        "scores": [
            [{"label": label, "probability": score} for label, score in zip(labels[:top_k], values, strict=False)]
            for labels, values in zip(names, scores.tolist(), strict=True)
        ],
    }
    if head.independent:
        applying = (scores >= APPLIES).sum(axis=1).tolist()
        found["labels"] = [labels[:count] for labels, count in zip(names, applying, strict=True)]
    return found
