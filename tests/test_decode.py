"""Decoding for the server: whichever way an image takes, it comes out as `load_image` has it."""

import asyncio
import gc
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from models.manifest import InputSpec
from models.preprocess import ImageError, ImageLimits, load_image
from server.decode import Decoder
from tests.images import encode, noise

SPEC = InputSpec(height=16, width=24)
LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_500_000)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(LIMITS)
    yield decoder
    decoder.close()


def picture(side: int) -> bytes:
    return encode(noise(side, side))


def plain(side: int) -> bytes:
    """Few bytes, whatever its size."""
    return encode(Image.new("L", (side, side), 77))


SMALL, LARGE, FEW_BYTES, TOO_LARGE, BROKEN = picture(32), picture(300), plain(1000), plain(1300), picture(32)[:500]


def assert_decoded(decoder: Decoder, images: list[bytes]) -> None:
    decoded = asyncio.run(decoder.decode(images, SPEC))
    assert len(decoded) == len(images)
    for image, pixels in zip(images, decoded, strict=True):
        if isinstance(pixels, ImageError):
            with pytest.raises(ImageError) as error:
                load_image(image, SPEC, LIMITS)
            assert (pixels.code, pixels.detail) == (error.value.code, error.value.detail)
        else:
            np.testing.assert_array_equal(pixels, load_image(image, SPEC, LIMITS))


@pytest.mark.parametrize("image", [SMALL, LARGE, FEW_BYTES, TOO_LARGE, BROKEN, b""])
def test_a_single_image(decoder: Decoder, image: bytes) -> None:
    assert_decoded(decoder, [image])


def test_many_images_keep_their_order(decoder: Decoder) -> None:
    assert len(FEW_BYTES) < 8192 < len(LARGE)
    assert_decoded(decoder, [picture(side) for side in range(2, 60)])
    assert_decoded(decoder, [SMALL, BROKEN, LARGE, TOO_LARGE, b"", FEW_BYTES] * 8)
    assert asyncio.run(decoder.decode([], SPEC)) == []


@pytest.mark.parametrize("count", [1, 8])
def test_no_error_keeps_its_image_in_memory(decoder: Decoder, count: int) -> None:
    images = [bytes(bytearray(BROKEN)) for _ in range(count)]
    before = sys.getrefcount(images[0])
    gc.disable()
    try:
        asyncio.run(decoder.decode(images, SPEC))
        decoder.close()  # A thread lets go of its work a moment after that is done.
        after = sys.getrefcount(images[0])
    finally:
        gc.enable()
    assert after == before
