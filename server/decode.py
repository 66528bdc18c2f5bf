"""Image bytes in, pixels or the reason why not out: `models.preprocess` on bounded threads."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from models.engine import available_cores
from models.manifest import InputSpec
from models.preprocess import ImageError, ImageLimits, Pixels, load_image

_Decoded = Pixels | ImageError

_SMALL_BYTES, _SMALL_PIXELS = 8192, 128 * 128
_LOT_BYTES, _LOT_IMAGES = 64 * 1024, 32


class Decoder:
    """Decodes on as many threads as there are cores; how many images wait is bounded by the batcher's admission."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._small = ImageLimits(min(limits.max_bytes, _SMALL_BYTES), min(limits.max_pixels, _SMALL_PIXELS))
        self._threads = available_cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")

    async def decode(self, images: Sequence[bytes], spec: InputSpec) -> list[_Decoded]:
        """Each image fully decoded and fitted to `spec`, or its error, in order: one broken image spoils no other."""
        if len(images) == 1:
            # Handing a small image to a thread, and its pixels back, costs more than decoding it.
            only = _decode(images[0], spec, self._small)
            if not (isinstance(only, ImageError) and only.code == "image_too_large"):
                return [only]
        loop = asyncio.get_running_loop()
        decoded: list[_Decoded] = []
        # A few lots at a time, so that the next request's images do not stand behind all of a large one's.
        lots, share = list(_lots(images)), 2 * self._threads
        for start in range(0, len(lots), share):
            turn = lots[start : start + share]
            done = await asyncio.gather(*(loop.run_in_executor(self._pool, self._lot, lot, spec) for lot in turn))
            decoded += chain.from_iterable(done)
        return decoded

    def close(self) -> None:
        self._pool.shutdown()

    def _lot(self, images: Sequence[bytes], spec: InputSpec) -> list[_Decoded]:
        return [_decode(image, spec, self._limits) for image in images]


def _decode(image: bytes, spec: InputSpec, limits: ImageLimits) -> _Decoded:
    try:
        return load_image(image, spec, limits)
    except ImageError as error:
        # The one raised, and its cause, hold the frames they came through, and those the image: a cycle if it is returned.
        return ImageError(error.code, error.detail)


def _lots(images: Sequence[bytes]) -> Iterator[list[bytes]]:
    """What is worth a thread's while: small images together, a large one alone."""
    lot: list[bytes] = []
    size = 0
    for image in images:
        if lot and (size + len(image) > _LOT_BYTES or len(lot) == _LOT_IMAGES):
            yield lot
            lot, size = [], 0
        lot.append(image)
        size += len(image)
    if lot:
        yield lot
