"""Bounded threads over `models.preprocess`: image bytes in, pixels or the reason why not out."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from models.engine import available_cores
from models.manifest import InputSpec
from models.preprocess import ImageError, ImageLimits, Pixels, load_image


class Decoder:
    """Decodes on as many threads as there are cores; how many images wait is bounded by the batcher's admission."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._threads = available_cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")

    async def decode(self, images: Sequence[bytes], spec: InputSpec) -> list[Pixels | ImageError]:
        """Each image fully decoded and fitted to `spec`, or its error, in order: one broken image spoils no other."""
        loop = asyncio.get_running_loop()
        decoded: list[Pixels | ImageError] = []
        # A few at a time, so that the next request's images do not stand behind all of a large one's.
        share = 2 * self._threads
        for start in range(0, len(images), share):
            turn = images[start : start + share]
            decoded += await asyncio.gather(*(loop.run_in_executor(self._pool, self._one, image, spec) for image in turn))
        return decoded

    def close(self) -> None:
        self._pool.shutdown()

    def _one(self, image: bytes, spec: InputSpec) -> Pixels | ImageError:
        try:
            return load_image(image, spec, self._limits)
        except ImageError as error:
            return error
