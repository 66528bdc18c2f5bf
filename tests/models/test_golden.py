"""Golden inputs: drawn, not photographed, and like photographs in what matters to int8."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.server_process import ROOT
from models.bundle import open_bundle
from training.export.golden import golden_pixels


@pytest.mark.parametrize(("size", "count"), [((32, 32), 8), ((84, 84), 8), ((160, 128), 2), ((512, 512), 2)])
def test_there_are_as_many_as_a_server_can_embed_at_every_check(size: tuple[int, int], count: int) -> None:
    pixels = golden_pixels(*size)
    assert pixels.shape == (count, *size, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, golden_pixels(*size))
    assert not np.array_equal(pixels[0], pixels[1])


def test_amplitude_falls_with_frequency_as_in_photographs() -> None:
    """As 1/f: a straight line of slope -1 between the logarithms, by NumPy's transform and polyfit."""
    grey = golden_pixels(128, 128).mean(axis=3)
    amplitude = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
    between = (frequency > 2 / 128) & (frequency < 0.4)
    slope, _ = np.polyfit(np.log(frequency[between]), np.log(amplitude[between]), 1)
    assert slope == pytest.approx(-1, abs=0.15)
    assert 35 < grey.std() < 75


@pytest.mark.parametrize("path", sorted((ROOT / "models" / "bundles").glob("*/*/manifest.json")), ids=lambda path: path.parts[-3])
def test_shipped_bundles_hold_no_ones_photographs(path: Path) -> None:
    bundle = open_bundle(path.parent)
    drawn = golden_pixels(bundle.manifest.input.height, bundle.manifest.input.width)
    np.testing.assert_allclose(bundle.golden_pixels.astype(float), drawn, atol=1)  # to the rounding of another machine
