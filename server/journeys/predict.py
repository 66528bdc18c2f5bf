"""The query journey: images in, what each was recognised as out.

Task found (`active_task`: 404 before any work) -> embedded (`embed`) -> classified (`classify`) -> predictions in the order of
the images.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.images.preprocess import ImageError
from models.novelty.support_index import Neighbours
from server.cache.support import SearchableSupport
from server.errors import InvalidRequest, LimitExceeded
from server.journeys.active_task import ActiveTask
from server.journeys.classify import classify
from server.journeys.embed import embed_images, image_error
from server.metrics import Stopwatch
from server.schemas.replies import FailedPrediction, JudgedPrediction, Neighbour, Prediction, PredictReply, ProblemInPlace
from server.service import Service
from server.settings import Settings


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
    async with service.backbones.use(task.head.backbone) as backbone:
        embedded = await embed_images(service, backbone, images, watch)
    if len(images) == 1 and embedded.errors[0] is not None:
        raise image_error(embedded.errors[0], "the image cannot be used")
    with watch.stage("head"):
        classified = await classify(service, task, embedded.embeddings, backbone)
        ranking, scores = ranked(classified.probabilities, top_k)
        predictions = as_predictions(task.head.labels, ranking.tolist(), scores.tolist())
        if classified.found is not None:
            predictions = with_verdicts(predictions, service.address(task.id), *classified.found)
    return PredictReply(
        task=task.id,
        version=task.version,
        backbone=task.head.backbone.bundle,
        mode="transductive" if classified.together else "inductive",
        predictions=in_order(embedded.errors, predictions),
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


def with_verdicts(
    predictions: Iterable[Prediction], address: str, support: SearchableSupport, found: Neighbours
) -> Iterable[JudgedPrediction]:
    """Likewise, with what was found of each image in the support set of the task at that address."""
    novelties, nearest, similarities = found.novelty.tolist(), found.examples.tolist(), found.similarities.tolist()
    for prediction, novelty, examples, cosines in zip(predictions, novelties, nearest, similarities, strict=True):
        neighbours = [
            Neighbour(
                example=support.ids[position],
                label=support.labels[position],
                similarity=round(cosine, 3),
                image=f"{address}/examples/{support.ids[position]}/image" if support.images_kept[position] else None,
                file_name=support.file_names[position],
            )
            for position, cosine in zip(examples, cosines, strict=True)
        ]
        rounded = round(novelty, 4)
        yield JudgedPrediction(**dict(prediction), known=rounded <= 0.5, novelty=rounded, nearest=neighbours)


def in_order(errors: Sequence[ImageError | None], predictions: Iterable[Prediction]) -> list[Prediction | FailedPrediction]:
    """The predictions of the readable images, with the errors of the others in their places."""
    readable = iter(predictions)
    return [
        FailedPrediction(error=ProblemInPlace(code=error.code, detail=error.detail)) if error else next(readable)
        for error in errors
    ]
