"""Decodes image bytes to pixels with `models.images.preprocess`: light images on threads, heavy images in processes."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.images.preprocess import ImageError, ImageLimits, open_image
from models.manifest import InputSpec
from models.processor import available_cores
from server.context import tenant_id
from server.engine.decode_processes import Decoded, DecodeProcesses
from server.errors import LimitExceeded, Overloaded
from server.shares import Shares
from server.threads import FairPool

_SMALL_BYTES, _SMALL_PIXELS = 8192, 128 * 128
_LOT_BYTES, _LOT_IMAGES = 64 * 1024, 32
_LIGHT_WORK = 1_000_000  # pixels: about 15 ms of a core
_REQUEST_IMAGES = 80  # images of the largest size: the most heavy work of one request
_REQUESTS = 2  # such requests: the most heavy work that may wait at once


@dataclass(frozen=True, slots=True)
class _Lot:
    """Neighbouring images of a request, from position `start` on."""

    start: int
    images: Sequence[bytes]


class Decoder:
    """Decodes light images on as many threads as there are cores, and heavy ones in processes of lower priority.

    The batcher's admission bounds the number of images that wait. This class bounds the work of the heavy ones.
    """

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._small = ImageLimits(min(limits.max_bytes, _SMALL_BYTES), min(limits.max_pixels, _SMALL_PIXELS))
        self._threads = available_cores()
        self._pool = FairPool(self._threads, "decode", beside=True)
        self._processes = DecodeProcesses(limits)
        self._heavy_work = Shares(_REQUESTS * _REQUEST_IMAGES * limits.max_pixels)

    async def decode(self, images: Sequence[bytes], spec: InputSpec) -> list[Decoded]:
        """Returns for each image, in order, its pixels fitted to `spec`, or its error. A broken image does not affect the others.

        A caller that is cancelled leaves nothing in the queues.

        Raises:
            LimitExceeded: the images are more work than one request may bring. None of the heavy ones was decoded.
            Overloaded: too much heavy work waits, there is too little memory, or the decoder was closed.
        """
        try:
            return await self._decode(images, spec)
        except MemoryError as error:
            raise Overloaded("too little memory to decode an image; try again") from error

    def close(self) -> None:
        """Stops decoding. It does not wait for heavy images."""
        self._pool.close()
        self._processes.close()

    async def _decode(self, images: Sequence[bytes], spec: InputSpec) -> list[Decoded]:
        if len(images) == 1 and (only := self._decode_if_small(images[0], spec)) is not None:
            return [only]
        decoded = await self._decode_light(images, spec)
        heavy = {position: work for position, work in enumerate(decoded) if isinstance(work, int)}
        if heavy:
            for position, one in zip(heavy, await self._decode_heavy(images, heavy, spec), strict=True):
                decoded[position] = one
        return [one for one in decoded if not isinstance(one, int)]

    def _decode_if_small(self, image: bytes, spec: InputSpec) -> Decoded | None:
        """Returns the pixels or the error of a small image, None for a larger one.

        Passing a small image to a thread and its pixels back costs more than decoding it here.
        """
        try:
            opened = open_image(image, spec, self._small)
            return opened.decode() if opened.work <= _SMALL_PIXELS else None
        except ImageError as error:
            return None if error.code == "image_too_large" else _without_frames(error)

    async def _decode_light(self, images: Sequence[bytes], spec: InputSpec) -> list[Decoded | int]:
        """Returns each image decoded, or its work in pixels if it is heavy."""
        decoded: dict[int, Decoded | int] = {}
        # A few lots at a time, so that the next request does not wait for all images of a large one.
        lots, share = deque(_lots(images)), 2 * self._threads
        while lots:
            turn = [lots.popleft() for _ in range(min(share, len(lots)))]
            done = await asyncio.gather(*(self._pool.run(self._lot, lot.images, spec) for lot in turn))
            for lot, results in zip(turn, done, strict=True):
                decoded |= enumerate(results, lot.start)
                if len(results) < len(lot.images):
                    lots.append(_Lot(lot.start + len(results), lot.images[len(results) :]))
        return [decoded[position] for position in range(len(images))]

    async def _decode_heavy(self, images: Sequence[bytes], work: dict[int, int], spec: InputSpec) -> list[Decoded]:
        """Returns the images at the positions in `work` decoded, in its order. `work` gives the pixels of each.

        It decodes as many at a time as there are processes.
        """
        total, limit = sum(work.values()), _REQUEST_IMAGES * self._limits.max_pixels
        if total > limit:
            raise LimitExceeded("pixels of large images in this request", total, limit)
        tenant = tenant_id.get()
        if total > self._heavy_work.room(tenant):
            raise Overloaded("the server is decoding as many pixels of large images as it takes; try again")
        self._heavy_work.take(tenant, total)
        try:
            decoded: list[Decoded] = []
            positions, share = list(work), self._processes.count
            for start in range(0, len(positions), share):
                turn = positions[start : start + share]
                decoded += await asyncio.gather(*(self._processes.decode(images[at], spec, work[at]) for at in turn))
            return decoded
        finally:
            self._heavy_work.give_back(tenant, total)

    def _lot(self, images: Sequence[bytes], spec: InputSpec) -> list[Decoded | int]:
        """Decodes the first images of a lot: as many as are light work together, and at least one. Heavy ones give their work."""
        done: list[Decoded | int] = []
        room = _LIGHT_WORK
        for image in images:
            try:
                opened = open_image(image, spec, self._limits)
                if opened.work > _LIGHT_WORK:
                    done.append(opened.work)
                    continue
                if opened.work > room:
                    break
                room -= opened.work
                done.append(opened.decode())
            except ImageError as error:
                done.append(_without_frames(error))
        return done


def _without_frames(error: ImageError) -> ImageError:
    """Returns a copy of the error without its traceback.

    A raised error and its cause hold the frames that they passed through, and these hold the image. Returning the error itself
    would make a reference cycle.
    """
    return ImageError(error.code, error.detail)


def _lots(images: Sequence[bytes]) -> Iterator[_Lot]:
    """Yields lots that are worth passing to a thread: small images together, a large one alone."""
    start = size = 0
    for position, image in enumerate(images):
        if position > start and (size + len(image) > _LOT_BYTES or position - start == _LOT_IMAGES):
            yield _Lot(start, images[start:position])
            start, size = position, 0
        size += len(image)
    if images:
        yield _Lot(start, images[start:])
