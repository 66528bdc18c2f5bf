"""Memory that two processes share, without a name: it is gone with the last of them, however that ends."""

import mmap
import os
from typing import Self

import numpy as np

from models.heads.head import Float32
from models.images.preprocess import Pixels
from models.manifest import Manifest


class NoMemory(Exception):
    """There is too little memory to share; the message is one line."""


def shared_memory(name: str, size: int) -> int:
    """Returns the descriptor of so many bytes of zeros. They are there: no later write can fail.

    Raises:
        NoMemory: there is too little.
    """
    descriptor = os.memfd_create(name)
    try:
        os.posix_fallocate(descriptor, 0, size)  # A write to memory without a page behind it would end the process.
    except OSError as error:
        os.close(descriptor)
        raise NoMemory(f"{size / 2**20:.0f} MB of memory cannot be shared: {error.strerror}") from error
    return descriptor


class Arena:
    """Slots, each with the pixels of an image and its embedding.

    Args:
        descriptor: of the memory. It is closed.
        manifest: of the bundle, which says the shapes.
        slots: the number of slots.

    Attributes:
        pixels: uint8 (slots, H, W, 3).
        embeddings: float32 (slots, D).

    Raises:
        ValueError: the memory is too small.
    """

    def __init__(self, descriptor: int, manifest: Manifest, slots: int) -> None:
        shape = (slots, manifest.input.height, manifest.input.width, 3)
        at = _end_of_pixels(shape)
        try:
            if os.fstat(descriptor).st_size < at + 4 * slots * manifest.embedding_dim:
                raise ValueError("shared memory is smaller than what it should hold")
            memory = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self.pixels: Pixels = np.frombuffer(memory, np.uint8, int(np.prod(shape))).reshape(shape)
        embeddings = np.frombuffer(memory, np.float32, slots * manifest.embedding_dim, at)
        self.embeddings: Float32 = embeddings.reshape(slots, manifest.embedding_dim)

    @classmethod
    def make(cls, manifest: Manifest, slots: int) -> tuple[Self, int]:
        """Makes memory for so many slots. Returns it, and a descriptor of it to send and close.

        Raises:
            NoMemory: there is too little.
        """
        at = _end_of_pixels((slots, manifest.input.height, manifest.input.width, 3))
        descriptor = shared_memory("headstart images", at + 4 * slots * manifest.embedding_dim)
        return cls(os.dup(descriptor), manifest, slots), descriptor


def _end_of_pixels(shape: tuple[int, ...]) -> int:
    return -(-int(np.prod(shape)) // mmap.PAGESIZE) * mmap.PAGESIZE
