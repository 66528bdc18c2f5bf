"""Golden inputs of a bundle: pictures drawn from a seed, so that a bundle holds no one's photographs."""

import numpy as np

from models.images.preprocess import Pixels

_PIXELS = 8 * 84 * 84  # A server embeds them whenever it is asked whether it is ready.
_FEWEST, _MOST = 2, 8
_SEED = 1
_SPREAD, _COLOUR = 55.0, 0.4  # of the levels, and of one channel apart from the others, about as in photographs


def golden_pixels(height: int, width: int) -> Pixels:
    """Returns coloured clouds, uint8 (N, height, width, 3): 8 of up to 84 × 84 pixels, fewer of more, at least 2.

    Their amplitude falls with the frequency as 1/f, as that of photographs does (Field, 1987). So int8 computes on them about as
    exactly as on photographs; on flat areas it does not.
    """
    rng = np.random.default_rng(_SEED)
    count = max(_FEWEST, min(_MOST, _PIXELS // (height * width)))
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequencies[0, 0] = np.inf  # no mean: it is drawn below
    clouds = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((count, 3, height, width))) / frequencies, s=(height, width))
    clouds /= clouds.std(axis=(2, 3), keepdims=True)
    shared = clouds.mean(axis=1, keepdims=True)
    levels = rng.uniform(80, 176, (count, 3, 1, 1)) + _SPREAD * (shared + _COLOUR * clouds)
    return np.ascontiguousarray(levels.clip(0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1))
