"""Stored images on another backbone: a support set, of which that backbone may have embedded a part before."""

from collections.abc import Callable, Sequence

import numpy as np

from models.arrays import on_host
from models.heads.head import Float32
from models.images.preprocess import ImageError, Pixels
from server.engine.backbone import ServedBackbone
from server.journeys.embed import image_error
from server.rates import charged
from server.service import Service
from server.store.records import ExampleImage, TaskKey
from server.store.support_records import Support

AT_ONCE = 16  # images read and decoded: at their largest, 160 MB, and a moment of the decoder that queries need too


async def support_on(
    service: Service,
    key: TaskKey,
    version: int,
    backbone: ServedBackbone,
    progress: Callable[[int], None] | None = None,
    *,
    negatives: bool = True,
) -> Support:
    """Returns the support set of a version as `backbone` embeds it: behind everyone else's images, and stored by nobody.

    Args:
        backbone: in use by the caller.
        progress: called with how many images have just been embedded.
        negatives: whether examples without a class are embedded too. Without them no detector of strangers can be made.

    Raises:
        TaskNotFound, VersionNotFound, ExampleNotFound: there is no such version, or it went meanwhile.
        ImageNotKept: the server was told to keep embeddings only.
        ImageBroken, ImageUnsupported, ImageTooLarge: an image cannot be read, under the limits of now.
        QuotaExceeded: the images are too many for the quota of the caller whose request this is part of, if it is.
        EngineFailed: the engine failed on a batch.
        StorageFailed: the store cannot be read.
    """
    sha256 = backbone.space.backbone.sha256
    found = await service.pools.in_thread(service.store.examples.embedded, key, version, sha256)
    found = found if negatives else found.of_classes()
    embeddings = dict(found.embeddings)
    lacking = found.lacking
    with charged(len(lacking)):
        for start in range(0, len(lacking), AT_ONCE):
            images = await service.pools.in_images(service.store.examples.images, key, lacking[start : start + AT_ONCE])
            embeddings |= await embed_stored(service, backbone, images)
            if progress:
                progress(len(images))
    return found.support(embeddings, sha256)


async def embed_stored(service: Service, backbone: ServedBackbone, images: Sequence[ExampleImage]) -> dict[str, Float32]:
    """Returns, by id, embeddings (D,) of images as they are stored, at most `AT_ONCE`: behind everyone else's images.

    Args:
        backbone: in use by the caller.

    Raises:
        ImageBroken, ImageUnsupported, ImageTooLarge: an image cannot be read, under the limits of now.
        EngineFailed: the engine failed on the batch.
    """
    decoded = await service.decoder.decode([each.image for each in images], backbone.bundle.manifest.input)
    readable: list[Pixels] = []
    for each, pixels in zip(images, decoded, strict=True):
        if isinstance(pixels, ImageError):
            raise image_error(pixels, f"the image of {each.id}")
        readable.append(pixels)
    embedded = await service.pools.in_thread(on_host, await backbone.batcher.embed_in_background(np.stack(readable)))
    return {each.id: embedding for each, embedding in zip(images, embedded, strict=True)}
