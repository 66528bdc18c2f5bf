"""The query journey: images in, what each was recognised as out.

Head looked up (404 before any work) -> embedded (`server.embed`) -> head applied -> predictions in the order of the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads import Head
from server.embed import embed_images, image_error
from server.errors import InvalidRequest, LimitExceeded, VersionNotFound
from server.metrics import Stopwatch
from server.schemas import FailedPrediction, ImageProblem, Prediction, PredictReply
from server.service import Service


@dataclass(frozen=True, slots=True, eq=False)
class ActiveTask:
    """A task's version that was active when the request came in: it answers the whole request, whatever changes meanwhile."""

    id: str
    version: int
    head: Head


async def find_task(service: Service, tenant: str, task_id: str) -> ActiveTask:
    """The active head of a task, before anything else is done for the request.

    Raises:
        TaskNotFound: there is no such task.
        StorageFailed: the store cannot be read.
    """
    active = service.store.known_active(tenant, task_id)
    if active is None:
        active = await service.in_thread(service.store.active, tenant, task_id)
    head = service.active.cached(tenant, task_id, active.version)
    while head is None:
        try:
            head = await service.in_thread(service.active.load, tenant, task_id, active.version)
        except VersionNotFound:  # It was forgotten between the two look-ups, and another one is active now.
            active = await service.in_thread(service.store.active, tenant, task_id)
    return ActiveTask(task_id, active.version, head)


async def predict(service: Service, task: ActiveTask, images: Sequence[bytes], top_k: int | None) -> PredictReply:
    """Recognises images.

    Args:
        top_k: how many labels each prediction scores, the most probable first; None is all.

    Raises:
        InvalidRequest, LimitExceeded: there are no images, or too many.
        ImageBroken, ImageUnsupported, ImageTooLarge: the only image cannot be read.
        Unavailable: the server cannot do it now.
    """
    watch = Stopwatch(service.metrics)
    if not images:
        raise InvalidRequest("there are no images; send at least one")
    if len(images) > service.settings.max_images:
        raise LimitExceeded("images in this request", len(images), service.settings.max_images)

    backbone = await service.backbones.serving(task.head.backbone)
    embedded = await embed_images(service, backbone, images, watch)
    if len(images) == 1 and embedded.errors[0] is not None:
        raise image_error(embedded.errors[0], "the image cannot be used")
    with watch.stage("head"):
        rows = iter(task.head.probabilities(embedded.embeddings, backbone.space))
        predictions = [
            FailedPrediction(error=ImageProblem(code=error.code, detail=error.detail))
            if error
            else _prediction(task.head.labels, next(rows), top_k)
            for error in embedded.errors
        ]
    return PredictReply(
        task=task.id,
        version=task.version,
        backbone=task.head.backbone.bundle,
        predictions=predictions,
        timing_ms=watch.milliseconds(),
    )


def _prediction(labels: Sequence[str], probabilities: NDArray[np.float64], top_k: int | None) -> Prediction:
    # A stable sort, so that of equally probable labels the task's first wins, here as in the offline evaluation.
    order = np.argsort(-probabilities, kind="stable")
    scores = {labels[k]: float(probabilities[k]) for k in order[:top_k]}
    best = order[0]
    return Prediction(label=labels[best], probability=float(probabilities[best]), scores=scores)
