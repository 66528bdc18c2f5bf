"""Image bytes -> pixels, against what NumPy says that the pixels are."""

import io
import resource
import struct
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.images.preprocess import ImageError, ImageLimits, Pixels, load_image, media_type
from models.manifest import InputSpec
from tests.helpers.images import animated, encode, exif, noise, photograph, png16, png_chunk, raw_png

HEIGHT, WIDTH = 12, 20
SPEC = InputSpec(height=HEIGHT, width=WIDTH)


def native(data: bytes) -> Pixels:
    """The image at its own size."""
    with Image.open(io.BytesIO(data)) as image:
        return load_image(data, InputSpec(height=image.height, width=image.width))


def refused(data: bytes, **limits: int) -> str:
    """The code with which the image is refused."""
    with pytest.raises(ImageError) as caught:
        load_image(data, SPEC, ImageLimits(**limits))
    assert str(caught.value) == caught.value.detail
    return caught.value.code


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.float64]:
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


def repeated(grey: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    return np.repeat(grey.reshape(HEIGHT, WIDTH, 1), 3, axis=2)


RGB, RGBA, GREY_ALPHA = noise(HEIGHT, WIDTH), noise(HEIGHT, WIDTH, 4), noise(HEIGHT, WIDTH, 2)
GREY = RGB[..., 0]
GREY16 = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
RGB16 = np.random.default_rng(2).integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
INDEXED = Image.fromarray(GREY // 64, "L")
PALETTE = noise(1, 4, seed=3)[0]
PALETTE_ALPHA = bytes([0, 100, 255, 200])
INDEXED.putpalette(PALETTE.tobytes())
KEYED = RGB.copy()
KEYED[::2] = (10, 20, 30)

EXACT = {
    "PNG colour": (encode(RGB), RGB),
    "WebP colour": (encode(RGB, "WEBP"), RGB),
    "PNG grey": (encode(GREY), repeated(GREY)),
    "PNG one bit": (encode(Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE)), repeated((GREY > 127) * 255)),
    "PNG palette": (encode(INDEXED), PALETTE[GREY // 64]),
    "PNG 16-bit grey": (png16(GREY16), repeated(GREY16 >> 8)),
    "PNG 16-bit colour": (png16(RGB16), RGB16 >> 8),
    "PNG 16-bit grey with a transparent value": (
        png16(GREY16, (b"tRNS", struct.pack(">H", GREY16[0, 0]))),
        repeated(np.where(np.equal(GREY16, GREY16[0, 0]), 255, GREY16 >> 8)),
    ),
    "PNG with a transparent colour": (
        encode(KEYED, transparency=(10, 20, 30)),
        np.where((KEYED == (10, 20, 30)).all(axis=2, keepdims=True), 255, KEYED),
    ),
}
BLENDED = {
    "PNG with alpha": (encode(RGBA), RGBA),
    "WebP with alpha": (encode(RGBA, "WEBP"), RGBA),
    "PNG grey with alpha": (encode(GREY_ALPHA), GREY_ALPHA[..., [0, 0, 0, 1]]),
    "PNG palette with alpha": (
        encode(INDEXED, transparency=PALETTE_ALPHA),
        np.concatenate([PALETTE, np.frombuffer(PALETTE_ALPHA, np.uint8)[:, None]], axis=1)[GREY // 64],
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_pixels_are_exact_where_nothing_is_blended(name: str) -> None:
    data, expected = EXACT[name]
    np.testing.assert_array_equal(native(data), expected)


@pytest.mark.parametrize("name", BLENDED)
def test_alpha_is_composited_on_white(name: str) -> None:
    data, rgba = BLENDED[name]
    np.testing.assert_allclose(native(data).astype(float), on_white(rgba), atol=1)


def test_jpeg_in_grey_and_cmyk_becomes_rgb() -> None:
    smooth = np.broadcast_to(np.arange(0, 240, 12, dtype=np.uint8), (HEIGHT, WIDTH))
    np.testing.assert_allclose(native(encode(smooth, "JPEG", quality=95)).astype(float), repeated(smooth), atol=3)
    cmyk = np.stack([smooth, smooth // 2, smooth // 3, np.full_like(smooth, 30)], axis=2)
    decoded = native(encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100))
    np.testing.assert_allclose(decoded.astype(float), (255.0 - cmyk[..., :3]) * (255 - 30) / 255, atol=6)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(160, 96), (161, 1000), (700, 500), (2100, 900)], ids=str)
def test_a_large_jpeg_has_the_pixels_of_its_full_decoding(size: tuple[int, int], orientation: int) -> None:
    picture = Image.fromarray(noise(6, 8)).resize(size, Image.Resampling.BICUBIC)
    data = encode(picture, "JPEG", quality=92, exif=exif(orientation))
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.fit(ImageOps.exif_transpose(image), (WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    difference = np.abs(load_image(data, SPEC).astype(float) - np.asarray(expected))
    assert difference.mean() < 1
    assert difference.max() < 8


@pytest.mark.parametrize("form", ["PNG", "WEBP", "MPO"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    frames = [np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (200, 10, 90)]
    np.testing.assert_array_equal(load_image(animated(frames, form), SPEC), frames[0])


TURNED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_is_applied(orientation: int, order: str, form: str) -> None:
    expected = TURNED[orientation](native(encode(RGB, form)))
    spec = InputSpec(height=expected.shape[0], width=expected.shape[1])
    np.testing.assert_array_equal(load_image(encode(RGB, form, exif=exif(orientation, order)), spec), expected)


def test_exif_after_the_pixels_counts_too() -> None:
    whole, end = encode(RGB)[:-12], encode(RGB)[-12:]
    late = whole + png_chunk(b"eXIf", exif(3).removeprefix(b"Exif\0\0")) + end
    np.testing.assert_array_equal(load_image(late, SPEC), RGB[::-1, ::-1])


DAMAGED_EXIF = {
    "no orientation of the eight": exif(9),
    "empty": b"Exif\0\0",
    "cut short": exif(6)[:20],
    "a directory beyond the end": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    "a byte order of nobody": b"Exif\0\0XX" + exif(1)[8:],
    "entries that are not there": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x1a\x01\x05\0\x01\0\0\0\xf0\xff\xff\0" * 3,
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", DAMAGED_EXIF)
def test_damaged_exif_spoils_neither_the_pixels_nor_the_log(name: str, form: str) -> None:
    data = encode(RGB, form, exif=DAMAGED_EXIF[name])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(load_image(data, SPEC), native(encode(RGB, form)))
    assert not warned


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO"])
def test_other_formats_are_refused_by_content(form: str) -> None:
    assert refused(encode(RGB, form)) == "image_unsupported"


def test_nothing_is_not_an_image() -> None:
    assert refused(b"") == "image_unsupported"
    assert refused(animated([RGB, RGB[::-1]], "GIF")) == "image_unsupported"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_image_is_refused(form: str, share: float) -> None:
    data = encode(noise(64, 64), form)
    assert refused(data[: int(share * len(data))]) == "image_broken"


def test_limits_are_inclusive_and_named() -> None:
    data = encode(RGB)
    load_image(data, SPEC, ImageLimits(max_bytes=len(data), max_pixels=HEIGHT * WIDTH))
    assert refused(data, max_bytes=len(data) - 1) == "image_too_large"
    assert refused(data, max_pixels=HEIGHT * WIDTH - 1) == "image_too_large"
    with pytest.raises(ImageError, match=f"20 x 12 = 240 pixels; the limit is {HEIGHT * WIDTH - 1}"):
        load_image(data, SPEC, ImageLimits(max_pixels=HEIGHT * WIDTH - 1))


def test_a_decompression_bomb_costs_nothing() -> None:
    bomb = raw_png(30_000, 30_000, 8, 2, bytes(1000))
    started, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(bomb) == "image_too_large"
    assert time.process_time() - started < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 20_000  # KiB; decoded it would be 2.7 GB


@pytest.mark.parametrize(
    ("form", "expected"), [("JPEG", "image/jpeg"), ("MPO", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
def test_the_media_type_is_told_by_content(form: str, expected: str) -> None:
    assert media_type(animated([RGB, RGB], form) if form == "MPO" else encode(RGB, form)) == expected
    with pytest.raises(ImageError, match="not a JPEG, PNG, WebP, HEIC or AVIF"):
        media_type(encode(RGB, "GIF"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert refused(data) in {"image_unsupported", "image_broken"}


WHOLE = [
    *(data for data, _ in (EXACT | BLENDED).values()),
    *(encode(RGB, form, exif=exif(6)) for form in ("JPEG", "PNG", "WEBP")),
    *(animated([RGB, RGB[::-1]], form) for form in ("PNG", "WEBP", "MPO")),
    encode(Image.fromarray(RGBA, "CMYK"), "JPEG"),
]


@settings(deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4),
)
def test_a_mutated_image_is_read_or_refused(data: bytes, edits: list[tuple[float, int, bytes]]) -> None:
    for place, removed, inserted in edits:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + removed :]
    try:
        assert load_image(data, SPEC).shape == (HEIGHT, WIDTH, 3)
    except ImageError as error:
        assert error.code in {"image_unsupported", "image_broken", "image_too_large"}  # noqa: PT017


def resampling(size: int, start: float, length: float, out: int, interpolation: str) -> NDArray[np.float64]:
    """(out, size): how much of each input pixel is in each output pixel; the kernel widens when it shrinks the image."""
    scale = length / out
    stretch = max(scale, 1.0)
    centres = start + (np.arange(out)[:, None] + 0.5) * scale
    x = np.abs((np.arange(size) + 0.5 - centres) / stretch)
    if interpolation == "bilinear":
        weights = np.maximum(1 - x, 0)
    else:  # Keys' cubic with a = -1/2
        weights = np.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))
    normalised: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(40, 61), (97, 31), (12, 60), (5, 7), (3, 50), (24, 40)])
def test_other_sizes_are_covered_and_cropped(size: tuple[int, int], interpolation: Literal["bilinear", "bicubic"]) -> None:
    height, width = size
    pixels = noise(height, width) // 2 + 64  # so that bicubic's overshoot meets neither 0 nor 255
    scale = max(HEIGHT / height, WIDTH / width)
    covered_height, covered_width = HEIGHT / scale, WIDTH / scale
    rows = resampling(height, (height - covered_height) / 2, covered_height, HEIGHT, interpolation)
    columns = resampling(width, (width - covered_width) / 2, covered_width, WIDTH, interpolation)
    expected = np.einsum("hy,yxc,wx->hwc", rows, pixels, columns)
    fitted = load_image(encode(pixels), InputSpec(height=HEIGHT, width=WIDTH, interpolation=interpolation))
    np.testing.assert_allclose(fitted.astype(float), expected, atol=1.5)  # Pillow rounds after each of two passes


@pytest.mark.parametrize("size", [(40, 61), (97, 31), (5, 7), (24, 40)])
def test_an_image_is_stretched_where_the_backbone_was_trained_so(size: tuple[int, int]) -> None:
    height, width = size
    pixels = noise(height, width) // 2 + 64
    rows, columns = (resampling(of, 0, of, to, "bicubic") for of, to in ((height, HEIGHT), (width, WIDTH)))
    expected = np.einsum("hy,yxc,wx->hwc", rows, pixels, columns)
    fitted = load_image(encode(pixels), InputSpec(height=HEIGHT, width=WIDTH, resize="stretch"))
    np.testing.assert_allclose(fitted.astype(float), expected, atol=1.5)


@pytest.mark.parametrize("size", [(40, 61), (97, 41), (16, 16), (24, 24), (9, 7)])
def test_the_centre_is_taken_of_an_image_scaled_to_a_longer_edge(size: tuple[int, int]) -> None:
    height, width = size
    pixels = noise(height, width) // 2 + 64
    part = min(height, width) * 16 / 24  # of the image, that is seen
    rows, columns = (resampling(side, (side - part) / 2, part, 16, "bicubic") for side in size)
    expected = np.einsum("hy,yxc,wx->hwc", rows, pixels, columns)
    fitted = load_image(encode(pixels), InputSpec(height=16, width=16, shortest_edge=24))
    np.testing.assert_allclose(fitted.astype(float), expected, atol=1.5)


def test_a_large_jpeg_is_read_at_twice_the_edge_or_more() -> None:
    data = encode(photograph(800, 600), "JPEG", quality=95)
    by_jpeg, by_pixels = (
        load_image(each, InputSpec(height=64, width=64, shortest_edge=100)).astype(int)
        for each in (data, encode(Image.open(io.BytesIO(data))))
    )
    assert np.abs(by_jpeg - by_pixels).mean() < 3


@pytest.mark.parametrize("rule", [{"resize": "stretch", "shortest_edge": 64}, {"shortest_edge": 31}])
def test_rules_that_contradict_each_other_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="shortest_edge belongs to"):
        InputSpec(height=32, width=32, **rule)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (31, 29)])
def test_the_array_is_the_callers_own(size: tuple[int, int]) -> None:
    data = encode(noise(*size))
    pixels = load_image(data, SPEC)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    before = pixels.copy()
    pixels[:] = 0
    np.testing.assert_array_equal(load_image(data, SPEC), before)


@pytest.mark.parametrize("rule", [{"resize": "stretch"}, {"shortest_edge": 40}])
def test_a_turned_image_is_fitted_by_the_same_rule(rule: dict[str, Any]) -> None:
    spec, pixels = InputSpec(height=24, width=31, **rule), noise(40, 61) // 2 + 64
    turned, upright = (load_image(each, spec) for each in (encode(pixels, exif=exif(6)), encode(np.rot90(pixels, -1).copy())))
    np.testing.assert_allclose(turned.astype(int), upright, atol=2)  # the passes are in another order
