"""From embedded images to a task's answer: probabilities of its classes, and novelty."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.answers.question import Question
from models.answers.verdicts import novelty_of_labels
from models.arrays import Array, Reals, on_host
from models.heads.fitting import classes_of
from models.heads.transductive import are_shared, share_queries
from models.labels import as_texts
from models.novelty.detector import Background, Queries
from models.novelty.support_index import Neighbours
from server.cache.support import SearchableSupport
from server.engine.backbone import ServedBackbone
from server.journeys.active_task import ActiveTask
from server.journeys.embed import Embedded
from server.service import Service
from server.store.support_records import Support

NEAREST = 3
_MOMENT = 2**17  # rows of a support set times images, which take a CPU some ten milliseconds


@dataclass(frozen=True, slots=True, eq=False)
class Classified:
    """The answer of a head of K classes for N images.

    Attributes:
        probabilities: (N, K).
        together: whether the images were judged in one another's light.
        found: of each image in the support set, where the answer tells strangers.
    """

    probabilities: NDArray[np.float64]
    together: bool
    found: tuple[SearchableSupport, Neighbours] | None

    @property
    def novelty(self) -> Reals | None:
        """The novelty of each image, (N,), where the answer tells strangers."""
        return None if self.found is None else self.found[1].novelty


def as_told(found: Neighbours, probabilities: NDArray[np.float64], independent: bool) -> Neighbours:
    """Returns what was found in a support set, with the novelty that is told: where an image may have several labels, that of
    its labels.

    Args:
        probabilities: (N, K).
        independent: whether an image may have any number of the labels.
    """
    return replace(found, novelty=novelty_of_labels(probabilities)) if independent else found


def told_by_names(probabilities: NDArray[np.float64]) -> Neighbours:
    """Returns the novelty of images that are judged by class names alone: one less the highest probability (N, K).

    Maximum softmax probability tells strangers of such answers too (Ming et al., Delving into Out-of-Distribution Detection with
    Vision-Language Representations, NeurIPS 2022). There are no neighbours.
    """
    nobody = np.empty((len(probabilities), 0))
    return Neighbours(novelty_of_labels(probabilities), nobody.astype(np.int64), nobody.astype(np.float32))


def search(
    support: SearchableSupport, queries: Queries, background: Background, probabilities: NDArray[np.float64], independent: bool
) -> Neighbours:
    """Returns what is found in a support set, with the novelty that is told.

    Args:
        queries: N images as that background sees them.
        probabilities: (N, K), the head's.
        independent: whether an image may have any number of the labels.
    """
    if support.index is None:
        return told_by_names(probabilities)
    return as_told(support.index.search(queries, background, NEAREST), probabilities, independent)


def question_of(task: ActiveTask, images: int) -> Question:
    """Returns the question to send with so many images of a request.

    It leaves out a search that would hold up the others of the batch. `classify` makes that one afterwards.
    """
    index = None if task.searchable is None else task.searchable.index
    return Question(task.head, index if index and len(index.codes) * images <= _MOMENT else None, NEAREST)


async def classify(service: Service, task: ActiveTask, embedded: Embedded, backbone: ServedBackbone) -> Classified:
    """Judges the readable images of a request, which were embedded with `question_of` the task."""
    answer = embedded.answer
    if answer is None:  # No image can be read.
        return Classified(np.empty((0, len(task.head.labels))), False, None)
    if task.searchable is None:
        return Classified(answer.probabilities, False, None)
    if task.searchable.index is None:
        neighbours = told_by_names(answer.probabilities)
    elif answer.neighbours is None:
        neighbours = await service.pools.in_applier(_search, task, answer.probabilities, embedded.embeddings, backbone)
    else:
        neighbours = as_told(answer.neighbours, answer.probabilities, task.head.independent)
    found = (task.searchable, neighbours) if task.unknown == "judge" else None
    if task.support is None:
        return Classified(answer.probabilities, False, found)
    alone, weights = answer.probabilities, 1.0 - neighbours.novelty
    together, shared = await service.pools.in_applier(_shared, task.support, alone, embedded.embeddings, weights, backbone)
    return Classified(shared, together, found)


def _search(task: ActiveTask, probabilities: NDArray[np.float64], embeddings: Array, backbone: ServedBackbone) -> Neighbours:
    assert task.searchable is not None
    queries = backbone.background.queries(on_host(embeddings))
    return search(task.searchable, queries, backbone.background, probabilities, task.head.independent)


def _shared(
    support: Support, alone: NDArray[np.float64], embeddings: Array, weights: Reals, backbone: ServedBackbone
) -> tuple[bool, NDArray[np.float64]]:
    """Returns whether the images help each other, and their probabilities then."""
    _, classes = classes_of(as_texts(support.labels))
    shots, queries = (backbone.space.features(each, centre=True) for each in (support.embeddings, on_host(embeddings)))
    together = are_shared(np.bincount(classes).tolist(), len(queries))
    return together, share_queries(alone, shots, classes, queries, weights)
