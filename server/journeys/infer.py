"""The query journey of callers that bring tensors and take tensors: the same steps as in `predict`, but for the reply."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.answers.question import Question
from models.arrays import on_host
from models.images.preprocess import Pixels
from models.manifest import InputSpec
from server.engine.backbone import ServedBackbone
from server.errors import InvalidRequest
from server.journeys.active_task import ActiveTask
from server.journeys.classify import Classified, classify, question_of
from server.journeys.embed import Embedded, embed_images, embed_pixels, image_error
from server.journeys.predict import capture_some, check_images
from server.metrics import Stopwatch
from server.rates import charged
from server.service import Service

Images = Sequence[bytes] | Pixels
"""N encoded images, or pixels, uint8 (N, H, W, 3) or (H · W · 3,), of the size that a backbone takes."""

_BATCHED = 4  # dimensions


async def classify_tensors(service: Service, task: ActiveTask, images: Images, watch: Stopwatch) -> Classified:
    """Recognises images, and has them captured as the task is set to. Pixels are not captured: there is no image to keep.

    Raises:
        InvalidRequest, LimitExceeded: there are no images, too many, or pixels of another size.
        ImageBroken, ImageUnsupported, ImageTooLarge: one of the images cannot be read.
        QuotaExceeded: they are too many for the caller's quota now.
        Unavailable: the server cannot do it now.
    """
    count = _count(service, images)
    with charged(count):
        async with service.backbones.use(task.head.backbone) as backbone:
            embedded = await _embed(service, backbone, images, watch, question_of(task, count))
    with watch.stage("head", begun=embedded.seconds):
        classified = await classify(service, task, embedded, backbone)
    if not isinstance(images, np.ndarray):
        capture_some(service, task, images, embedded, classified)
    return classified


async def embed_tensors(service: Service, bundle: str, images: Images, watch: Stopwatch) -> NDArray[np.float32]:
    """Returns the embeddings (N, D) of images by a bundle that is open.

    Raises:
        BackboneNotFound: there is no such bundle.
        BackboneNotOpen: it is not open.
        HeadstartError: as `classify_tensors` does.
    """
    with charged(_count(service, images)):
        async with service.backbones.use_open(bundle) as backbone:
            embedded = await _embed(service, backbone, images, watch)
    return await service.pools.in_thread(on_host, embedded.embeddings)


def _count(service: Service, images: Images) -> int:
    """Returns how many images there are, if a request may bring so many."""
    if isinstance(images, np.ndarray) and images.ndim != _BATCHED:
        if images.ndim != 1:
            raise _misshapen(images, "height, width, 3")
        return 1
    check_images(images, service.settings)
    return len(images)


async def _embed(
    service: Service, backbone: ServedBackbone, images: Images, watch: Stopwatch, question: Question | None = None
) -> Embedded:
    """Embeds all of the images, or raises the error of the first that cannot be read."""
    if isinstance(images, np.ndarray):
        return await embed_pixels(service, backbone, _fitting(images, backbone.bundle.manifest.input), watch, question)
    embedded = await embed_images(service, backbone, images, watch, question)
    for position, error in enumerate(embedded.errors):
        if error is not None:
            raise image_error(error, f"image {position + 1} of {len(images)}")
    return embedded


def _fitting(pixels: Pixels, spec: InputSpec) -> Pixels:
    """Returns pixels as (N, H, W, 3)."""
    of_one = (spec.height, spec.width, 3)
    if pixels.shape == (spec.height * spec.width * 3,):
        return pixels.reshape(1, *of_one)
    if pixels.shape[1:] != of_one:
        raise _misshapen(pixels, ", ".join(map(str, of_one)))
    return pixels


def _misshapen(pixels: Pixels, of_one: str) -> InvalidRequest:
    return InvalidRequest(f"pixels of shape {list(pixels.shape)}; this backbone takes [-1, {of_one}]")
