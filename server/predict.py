"""The query journey: images in, what each was recognised as out.

Head looked up (404 before any work) -> embedded (`server.embed`) -> head applied -> predictions in the order of the images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads import Head
from models.preprocess import ImageError
from server.embed import embed_images, image_error
from server.errors import InvalidRequest, LimitExceeded, VersionNotFound
from server.metrics import Stopwatch
from server.schemas.replies import FailedPrediction, Prediction, PredictReply, ProblemInPlace
from server.service import Service
from server.settings import Settings


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
    check_images(images, service.settings)
    backbone = await service.backbones.serving(task.head.backbone)
    embedded = await embed_images(service, backbone, images, watch)
    if len(images) == 1 and embedded.errors[0] is not None:
        raise image_error(embedded.errors[0], "the image cannot be used")
    with watch.stage("head"):
        ranking, scores = ranked(task.head.probabilities(embedded.embeddings, backbone.space), top_k)
        predictions = in_order(embedded.errors, as_predictions(task.head.labels, ranking.tolist(), scores.tolist()))
    return PredictReply(
        task=task.id,
        version=task.version,
        backbone=task.head.backbone.bundle,
        predictions=predictions,
        timing_ms=watch.milliseconds(),
    )


def check_images(images: Sequence[bytes], settings: Settings) -> None:
    """Checks what one request brings.

    Raises:
        InvalidRequest: there is no image.
        LimitExceeded: there are more than one request may bring.
    """
    if not images:
        raise InvalidRequest("there are no images; send at least one")
    if len(images) > settings.max_images:
        raise LimitExceeded("images in this request", len(images), settings.max_images)


def ranked(probabilities: NDArray[np.float64], top_k: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The classes by probability, the most probable first.

    Args:
        probabilities: (…, K).
        top_k: how many to keep; None is all.

    Returns:
        The positions of the classes and their probabilities, (…, min(top_k, K)) each.
    """
    # A stable sort, so that of equally probable labels the task's first wins, here as in the offline evaluation.
    ranking = np.argsort(-probabilities, axis=-1, kind="stable")[..., :top_k]
    return ranking, np.take_along_axis(probabilities, ranking, axis=-1)


def as_predictions(
    labels: Sequence[str], ranking: Sequence[Sequence[int]], scores: Sequence[Sequence[float]]
) -> Iterable[Prediction]:
    """What N images were recognised as by one head, from what `ranked` found, (N, k) each."""
    for classes, probabilities in zip(ranking, scores, strict=True):
        named = {labels[k]: probability for k, probability in zip(classes, probabilities, strict=True)}
        yield Prediction(label=labels[classes[0]], probability=probabilities[0], scores=named)


def in_order(errors: Sequence[ImageError | None], predictions: Iterable[Prediction]) -> list[Prediction | FailedPrediction]:
    """The predictions of the readable images, with the errors of the others in their places."""
    readable = iter(predictions)
    return [
        FailedPrediction(error=ProblemInPlace(code=error.code, detail=error.detail)) if error else next(readable)
        for error in errors
    ]
