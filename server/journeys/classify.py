"""From embeddings to a task's answer: probabilities of its classes, and novelty."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads.fitting import classes_of
from models.heads.head import Float32
from models.heads.transductive import are_shared, share_queries
from models.novelty.support_index import Neighbours
from server.cache.support import SearchableSupport
from server.engine.backbone import ServedBackbone
from server.journeys.active_task import ActiveTask
from server.service import Service

NEAREST = 3
_MOMENT = 2**14  # rows of a support set times images, which take the event loop a millisecond or two


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


async def classify(service: Service, task: ActiveTask, embeddings: Float32, backbone: ServedBackbone) -> Classified:
    """Judges embeddings (N, D), made by the task's backbone: beside the event loop, where it would be held up."""
    rows = 0 if task.searchable is None else len(task.searchable.index.codes)
    if task.support is None and rows * len(embeddings) <= _MOMENT:
        return _classify(task, embeddings, backbone)
    return await service.pools.in_applier(_classify, task, embeddings, backbone)


def _classify(task: ActiveTask, embeddings: Float32, backbone: ServedBackbone) -> Classified:
    space = backbone.space
    probabilities = task.head.probabilities(embeddings, space)
    if task.searchable is None:
        return Classified(probabilities, False, None)
    neighbours = task.searchable.index.search(embeddings, backbone.background, NEAREST)
    together = False
    if task.support is not None:
        _, classes = classes_of(task.support.labels)
        together = are_shared(np.bincount(classes).tolist(), len(embeddings))
        support, queries = (space.features(each, centre=True) for each in (task.support.embeddings, embeddings))
        probabilities = share_queries(probabilities, support, classes, queries, 1.0 - neighbours.novelty)
    return Classified(probabilities, together, (task.searchable, neighbours) if task.unknown == "judge" else None)
