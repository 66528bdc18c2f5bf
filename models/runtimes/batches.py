"""The sizes of an engine's batches."""

import numpy as np

from models.images.preprocess import Pixels

MAX_BATCH = 32  # on a CPU, which larger batches do not make faster
MAX_BATCH_CUDA = 256
# The batch sizes of a CUDA engine.
BUCKETS = tuple(2**i for i in range(MAX_BATCH_CUDA.bit_length()))


def padded(pixels: Pixels) -> Pixels:
    """Returns the pixels (N, H, W, 3), filled up with black images to the next bucket."""
    size = next(size for size in BUCKETS if size >= len(pixels))
    if size == len(pixels):
        return pixels
    filled = np.zeros((size, *pixels.shape[1:]), dtype=np.uint8)
    filled[: len(pixels)] = pixels
    return filled
