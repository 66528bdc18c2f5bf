"""The query journey: images in, predictions out.

Task found (`active_task`: 404 before any work) -> embedded, and classified in the same batch (`embed`, `classify`) -> predictions
in the order of the images.
"""

from collections.abc import Iterable, Sequence, Sized
from typing import Any

import numpy as np
from msgspec.json import Encoder
from numpy.typing import NDArray

from models.answers.verdicts import APPLIES, ranked, verdict_of
from models.arrays import Bools, Ints
from models.images.preprocess import ImageError
from models.labels import Label
from models.novelty.support_index import Neighbours
from server.cache.support import SearchableSupport
from server.errors import HeadstartError, InvalidRequest, LimitExceeded
from server.journeys.active_task import ActiveTask
from server.journeys.capture import captures_of, remember, to_capture
from server.journeys.classify import Classified, classify, question_of
from server.journeys.embed import Embedded, embed_images, image_error
from server.metrics import Stopwatch
from server.rates import charged
from server.service import Service
from server.settings import Settings
from server.store.capture_records import NewCapture

Data = dict[str, Any]
"""Data that JSON is made of. A function names the model of `server.schemas.predictions`; making models costs many times more."""

encode = Encoder().encode


async def predict(
    service: Service,
    task: ActiveTask,
    images: Sequence[bytes],
    top_k: int | None,
    coverage: float | None = None,
    keep: bool | None = None,
) -> Data:
    """Recognises images.

    Args:
        top_k: how many labels each prediction scores, the most probable first; None is all.
        coverage: how often a prediction's set shall hold the right label, where the task was found with its rule for sets.
        keep: whether every prediction is remembered, and gets an id, or none is captured; None is as the task is set to.

    Returns:
        A `PredictReply`.

    Raises:
        InvalidRequest, LimitExceeded: there are no images, or too many.
        ImageBroken, ImageUnsupported, ImageTooLarge: the only image cannot be read.
        QuotaExceeded: they are too many for the caller's quota now.
        StoredQuotaExceeded: the tenant may not have as many captures, so that its predictions cannot be remembered.
        Conflict: the version was forgotten meanwhile, so that its predictions cannot be remembered.
        Unavailable: the server cannot do it now.
    """
    watch = Stopwatch(service.metrics)
    check_images(images, service.settings)
    with charged(len(images)):
        async with service.backbones.use(task.head.backbone) as backbone:
            embedded = await embed_images(service, backbone, images, watch, question_of(task, len(images)))
    if len(images) == 1 and embedded.errors[0] is not None:
        raise image_error(embedded.errors[0], "the image cannot be used")
    with watch.stage("head", begun=embedded.seconds):
        classified = await classify(service, task, embedded, backbone)
        predictions: Iterable[Data] = predictions_of(task.head.labels, classified.probabilities, top_k, task.head.independent)
        about: Data = {}
        if task.set_rule is not None and coverage is not None:
            inside = task.set_rule.inside(classified.probabilities, coverage)
            predictions = _with_sets(predictions, task.head.labels, classified.probabilities, inside)
            about = {"coverage": {"asked": coverage, "finest": task.set_rule.finest}}
        if classified.found is not None:
            predictions = with_verdicts(predictions, service.address(task.id), *classified.found)
    if keep:
        taken = _taken(task, images, embedded, classified, np.arange(len(classified.probabilities)))
        await remember(service, task.capture, taken)
        predictions = [{**each, "prediction": capture.id} for each, capture in zip(predictions, taken, strict=True)]
    elif keep is None:
        capture_some(service, task, images, embedded, classified)
    return {
        "task": task.id,
        "version": task.version,
        "backbone": task.head.backbone.bundle,
        "mode": "transductive" if classified.together else "inductive",
        **about,
        "predictions": in_order(embedded.errors, predictions),
        "timing_ms": watch.milliseconds(),
    }


def capture_some(service: Service, task: ActiveTask, images: Sequence[bytes], embedded: Embedded, classified: Classified) -> None:
    """Has those of the predictions captured, behind the answer, that the task is set to capture."""
    rows = to_capture(task.capture, task.head.independent, classified.probabilities, classified.novelty)
    if len(rows):
        service.offer_captures(_taken(task, images, embedded, classified, rows))


def _taken(task: ActiveTask, images: Sequence[bytes], embedded: Embedded, classified: Classified, rows: Ints) -> list[NewCapture]:
    """Returns the captures of those of the readable images that `rows` names."""
    seen = (embedded.readable(images), embedded.embeddings, classified.probabilities, classified.novelty)
    return captures_of(task.key, task.version, task.forgettings, task.head, *seen, rows)


def check_images(images: Sized, settings: Settings) -> None:
    """Checks what one request brings.

    Raises:
        InvalidRequest: there is no image.
        LimitExceeded: there are more than one request may bring.
    """
    if not len(images):  # An array has no truth.
        raise InvalidRequest("there are no images; send at least one")
    if len(images) > settings.max_images:
        raise LimitExceeded("images in this request", len(images), settings.max_images)


def predictions_of(labels: Sequence[str], probabilities: NDArray[np.float64], top_k: int | None, independent: bool) -> list[Data]:
    """Returns a `Prediction` for each of N images, from the probabilities (N, K) of a head.

    Args:
        independent: whether an image may have any number of the labels.
    """
    ranking, scores = ranked(probabilities, None if independent else top_k)
    if independent:
        return as_labelled(labels, ranking.tolist(), scores.tolist(), top_k)
    return as_predictions(labels, ranking.tolist(), scores.tolist())


def as_labelled(
    labels: Sequence[str], ranking: Sequence[Sequence[int]], scores: Sequence[Sequence[float]], top_k: int | None
) -> list[Data]:
    """Returns a `Prediction` with `labels` for each of N images, from what `ranked` found of all K labels, (N, K) each."""
    found = as_predictions(labels, [classes[:top_k] for classes in ranking], [of_image[:top_k] for of_image in scores])
    applying = [sum(score >= APPLIES for score in of_image) for of_image in scores]
    return [
        {"labels": [labels[k] for k in classes[:count]], **prediction}
        for classes, count, prediction in zip(ranking, applying, found, strict=True)
    ]


def as_predictions(labels: Sequence[str], ranking: Sequence[Sequence[int]], scores: Sequence[Sequence[float]]) -> list[Data]:
    """Returns a `Prediction` for each of N images by one head, from what `ranked` found, (N, k) each."""
    return [
        {
            "label": labels[classes[0]],
            "probability": probabilities[0],
            "scores": dict(zip([labels[k] for k in classes], probabilities, strict=True)),
        }
        for classes, probabilities in zip(ranking, scores, strict=True)
    ]


def with_verdicts(predictions: Iterable[Data], address: str, support: SearchableSupport, found: Neighbours) -> Iterable[Data]:
    """Returns each as a `JudgedPrediction`, with what was found in the support set of the task at that address."""
    novelties, nearest, similarities = found.novelty.tolist(), found.examples.tolist(), found.similarities.tolist()
    for prediction, novelty, examples, cosines in zip(predictions, novelties, nearest, similarities, strict=True):
        neighbours = [
            {
                "example": support.ids[position],
                **as_labels(support.labels[position]),
                "similarity": round(cosine, 3),
                "image": f"{address}/examples/{support.ids[position]}/image" if support.images_kept[position] else None,
                "file_name": support.file_names[position],
            }
            for position, cosine in zip(examples, cosines, strict=True)
        ]
        known, told = verdict_of(novelty)
        yield {**prediction, "known": known, "novelty": told, "nearest": neighbours}


def as_labels(label: Label) -> Data:
    """Returns the label of an example as a reply shows it; where it may have several, `label` is null."""
    return {"label": label} if isinstance(label, str) else {"label": None, "labels": list(label)}


def _with_sets(
    predictions: Iterable[Data], labels: Sequence[str], probabilities: NDArray[np.float64], inside: Bools
) -> Iterable[Data]:
    """Returns each with its `set`: the labels that are `inside` (N, K), the most probable first."""
    ranking, _ = ranked(probabilities, None)
    sizes = inside.sum(axis=-1).tolist()
    for prediction, classes, size in zip(predictions, ranking.tolist(), sizes, strict=True):
        yield {**prediction, "set": [labels[k] for k in classes[:size]]}


def in_order(errors: Sequence[ImageError | None], predictions: Iterable[Data]) -> list[Data]:
    """Returns the predictions of the readable images, and in the places of the others a `FailedPrediction`."""
    readable = iter(predictions)
    return [failed(error) if error else next(readable) for error in errors]


def failed(error: ImageError | HeadstartError) -> Data:
    """Returns a `FailedPrediction`: what went wrong, in the place of an answer."""
    return {"error": {"code": error.code, "detail": error.detail}}
