"""The stretch of road that both journeys share: admitted -> decoded -> embedded in one batch with everyone's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.answers.question import Answer, Question
from models.arrays import Array
from models.images.preprocess import ImageError, Pixels
from server.engine.backbone import ServedBackbone
from server.engine.queue import Result
from server.errors import HeadstartError, ImageBroken, ImageTooLarge, ImageUnsupported
from server.metrics import Stopwatch
from server.service import Service

_ERRORS: dict[str, type[HeadstartError]] = {error.code: error for error in (ImageBroken, ImageTooLarge, ImageUnsupported)}

_FEW = 8  # images that the event loop copies itself: a thread would cost more


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The embeddings of N images, and the errors of those that cannot be read.

    Attributes:
        errors: N entries; None for an image that could be read.
        embeddings: float32 (M, D) of the M readable images, in order, where the engine left them.
        answer: to the question about these, if there was one and M is not zero.
        seconds: that answering took.
    """

    errors: list[ImageError | None]
    embeddings: Array
    answer: Answer | None
    seconds: float

    def readable(self, images: Sequence[bytes]) -> list[bytes]:
        """Returns those of the N images that could be read."""
        return [image for image, error in zip(images, self.errors, strict=True) if error is None]


async def embed_images(
    service: Service, backbone: ServedBackbone, images: Sequence[bytes], watch: Stopwatch, question: Question | None = None
) -> Embedded:
    """Embeds encoded images; one that cannot be read never reaches a batch.

    Args:
        backbone: in use by the caller.
        question: to be answered about the images in the same batch, by a head of this backbone.

    Raises:
        Overloaded: the server is working on as many images as it takes; refused before anything is decoded.
        EngineFailed: the engine failed on a batch.
    """
    async with service.door.embedding(len(images)):
        with backbone.batcher.admit(len(images)):
            with watch.stage("decode"):
                decoded = await service.decoder.decode(images, backbone.bundle.manifest.input)
            readable: list[Pixels] = [pixels for pixels in decoded if not isinstance(pixels, ImageError)]
            result = Result(backbone.no_embeddings, None, 0.0)
            with watch.stage("embed") as stage:
                if readable:
                    few = len(readable) <= _FEW
                    pixels = np.stack(readable) if few else await service.pools.in_thread(np.stack, readable)
                    result = await backbone.batcher.run(pixels, question)
                stage.leave_out(result.seconds)
    errors = [pixels if isinstance(pixels, ImageError) else None for pixels in decoded]
    return Embedded(errors, result.embeddings, result.answer, result.seconds)


async def embed_pixels(
    service: Service, backbone: ServedBackbone, pixels: Pixels, watch: Stopwatch, question: Question | None = None
) -> Embedded:
    """Embeds decoded images, uint8 (N, H, W, 3), of the size that the backbone takes.

    Raises:
        Overloaded, EngineFailed: as `embed_images` does.
    """
    async with service.door.embedding(len(pixels)):
        with backbone.batcher.admit(len(pixels)), watch.stage("embed") as stage:
            result = await backbone.batcher.run(pixels, question)
            stage.leave_out(result.seconds)
    return Embedded([None] * len(pixels), result.embeddings, result.answer, result.seconds)


def image_error(error: ImageError, where: str) -> HeadstartError:
    """Returns the error to answer with when an image spoils the whole request; `where` says which image it was."""
    return _ERRORS[error.code](f"{where}: {error.detail}")
