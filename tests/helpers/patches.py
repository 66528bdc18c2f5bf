"""Made-up images that show any number of three things, for tests of tasks with several labels an image."""

from collections.abc import Sequence

import numpy as np

from tests.helpers.images import encode

_COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 220)}


def picture(labels: Sequence[str], seed: int, rough: float = 0) -> bytes:
    """An image with a patch of each label's colour, at the same place for each label, on noise; `rough` adds squares to that."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 12, (48, 48, 3)) + np.kron(rng.normal(0, rough, (8, 8, 3)), np.ones((6, 6, 1)))
    for at, (label, colour) in enumerate(_COLOURS.items()):
        if label in labels:
            pixels[:, 16 * at : 16 * (at + 1)] = colour + rng.normal(0, 12, (48, 16, 3))
    return encode(np.clip(pixels, 0, 255).astype(np.uint8))
