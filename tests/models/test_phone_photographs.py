"""What phones make: HEIC and AVIF, orientation, colour profiles, large photographs, and parts of files that are no pixels."""

import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from benchmarks.server_process import ROOT
from models.images.orientation import orientation
from models.images.preprocess import ImageError, ImageLimits, Pixels, load_image, media_type
from models.manifest import InputSpec
from tests.helpers.images import encode, exif, noise, png_chunk
from tests.helpers.profiles import SRGB, grey_profile, wide_gamut

SPEC = InputSpec(height=12, width=20)


def heic(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, **{"quality": -1, "chroma": 444, **options})
    return file.getvalue()


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth, and without any symmetry."""
    return Image.fromarray(noise(5, 7, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)


def native(data: bytes, width: int, height: int) -> Pixels:
    return load_image(data, InputSpec(height=height, width=width))


PHOTOGRAPH = photograph(64, 48)


@pytest.mark.parametrize("form", ["HEIC", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_heic_and_an_avif_come_out_upright(form: str, turn: int) -> None:
    """Both writers turn EXIF's orientation into the format's own properties; a HEIC that keeps its EXIF is not turned twice."""
    data = heic(PHOTOGRAPH, exif=exif(turn)) if form == "HEIC" else encode(PHOTOGRAPH, "AVIF", quality=100, exif=exif(turn))
    turned = PHOTOGRAPH.copy()
    turned.getexif()[0x0112] = turn
    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    difference = np.abs(native(data, expected.shape[1], expected.shape[0]) - expected)
    assert media_type(data) == f"image/{form.lower()}"
    assert difference.mean() < 2.5


def test_a_heic_of_tiles_is_read_as_libheif_reads_it() -> None:
    data = heic(photograph(200, 136), tile_size=64)
    expected = pillow_heif.read_heif(data).to_pillow()
    np.testing.assert_array_equal(native(data, 200, 136), np.asarray(expected))


def test_heics_that_lie_about_their_size_are_refused_before_they_are_decoded() -> None:
    data = heic(photograph(200, 136), tile_size=64)
    limits = ImageLimits(max_pixels=200 * 136)
    with pytest.raises(ImageError, match=f"{200 * 136} pixels; the limit is {200 * 136 - 1} where"):
        load_image(data, SPEC, ImageLimits(max_pixels=200 * 136 - 1))
    shown = data.replace(struct.pack(">II", 200, 136), struct.pack(">II", 20, 12))
    with pytest.raises(ImageError, match=f"{200 * 136} pixels"):
        load_image(shown, SPEC, ImageLimits(max_pixels=200 * 136 - 1))
    part = data.replace(struct.pack(">4sIII", b"ispe", 0, 64, 64), struct.pack(">4sIII", b"ispe", 0, 30_000, 30_000))
    with pytest.raises(ImageError, match="parts of 10800000000 pixels"):
        load_image(part, SPEC, limits)


@pytest.mark.parametrize("form", ["HEIC", "AVIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_heic_or_avif_is_refused(form: str, share: float) -> None:
    data = heic(PHOTOGRAPH) if form == "HEIC" else encode(PHOTOGRAPH, "AVIF")
    with pytest.raises(ImageError) as error:
        load_image(data[: int(share * len(data))], SPEC)
    assert error.value.code == "image_broken"


def test_other_members_of_the_family_are_refused_by_their_brands() -> None:
    for brands in (b"mp42\0\0\0\0isom", b"qt  \0\0\0\0qt  ", b""):
        with pytest.raises(ImageError, match="not a JPEG, PNG, WebP, HEIC or AVIF"):
            media_type(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(100))


@settings(deadline=None)
@given(st.sampled_from("<>"), st.sampled_from([3, 4, 6, 8, 9]), st.integers(-1, 12), st.integers(1, 2))
def test_orientation_is_read_as_pillow_reads_it(order: str, kind: int, value: int, values: int) -> None:
    """Stored as SHORT, LONG and whatever else; Pillow's own parser is the judge."""
    form = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind]
    raw = struct.pack(f"{order}{form}", max(0, value) if kind < 6 else value) * values
    if len(raw) > 4:
        raw, after = struct.pack(f"{order}I", 26), raw
    else:
        raw, after = raw.ljust(4, b"\0"), b""
    data = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    data += struct.pack(f"{order}HHHI", 1, 0x0112, kind, values) + raw + bytes(4) + after
    read = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of several numbers, Pillow takes the first, and says so
        read.load(b"Exif\0\0" + data)
        found = read.get(0x0112, 1)
    assert orientation(data) == (found if found in range(1, 9) else 1)


def test_orientation_in_xmp_counts_where_exif_tells_none() -> None:
    """As in `exif_transpose`, which is asked."""
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    for data in (
        encode(PHOTOGRAPH, "JPEG", xmp=xmp),
        encode(PHOTOGRAPH, "PNG", pnginfo=text),
        encode(PHOTOGRAPH, "WEBP", xmp=xmp),
    ):
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
        np.testing.assert_array_equal(native(data, 48, 64), np.asarray(upright))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "HEIC"])
def test_colours_become_srgb(form: str) -> None:
    profile = wide_gamut()
    data = heic(PHOTOGRAPH, icc_profile=profile) if form == "HEIC" else encode(PHOTOGRAPH, form, icc_profile=profile)
    if form == "HEIC":
        stored = pillow_heif.read_heif(data).to_pillow()
    else:
        with Image.open(io.BytesIO(data)) as image:
            stored = image.convert("RGB")
    converted = ImageCms.profileToProfile(stored, ImageCms.ImageCmsProfile(io.BytesIO(profile)), SRGB)
    assert converted is not None
    assert np.abs(np.asarray(converted).astype(int) - np.asarray(stored)).mean() > 5  # or nothing would be tested
    np.testing.assert_array_equal(native(data, 64, 48), np.asarray(converted))
    small = np.asarray(ImageOps.fit(converted, (20, 12), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(load_image(data, SPEC) - small).mean() < 1


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_profile_of_grey_is_applied_to_grey(mode: str) -> None:
    grey = PHOTOGRAPH.convert("L")
    data = encode(grey.convert(mode), "PNG", icc_profile=grey_profile())
    source = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile()))
    expected = ImageCms.profileToProfile(grey, source, SRGB, outputMode="RGB")
    assert np.abs(np.asarray(expected)[..., 0].astype(int) - np.asarray(grey)).mean() > 5
    np.testing.assert_array_equal(native(data, 64, 48), np.asarray(expected))


PROFILES = {
    "damaged": wide_gamut()[:200],
    "nonsense": b"nonsense" * 100,
    "of grey on colours": grey_profile(),
    "sRGB already": ImageCms.ImageCmsProfile(SRGB).tobytes(),
    "too large to be one": wide_gamut() + bytes(4_000_000),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", PROFILES)
def test_profiles_that_change_nothing(name: str, form: str) -> None:
    np.testing.assert_array_equal(
        load_image(encode(PHOTOGRAPH, form, icc_profile=PROFILES[name]), SPEC), load_image(encode(PHOTOGRAPH, form), SPEC)
    )


def with_chunk(name: bytes, content: bytes, *, good: bool = True) -> bytes:
    plain = encode(PHOTOGRAPH)
    chunk = png_chunk(name, content)
    return plain[:33] + (chunk if good else chunk[:-4] + b"oops") + plain[33:]


NO_PIXELS = {
    "PNG, a profile of 8 MB": with_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(8_000_000))),
    "PNG, a text of 8 MB": with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(8_000_000))),
    "PNG, a resolution cut short": with_chunk(b"pHYs", b"\0\0"),
    "PNG, a gamma cut short": with_chunk(b"gAMA", b""),
    "PNG, transparency of the wrong length": with_chunk(b"tRNS", b"\0"),
    "PNG, a text with another checksum": with_chunk(b"tEXt", b"Comment\0good", good=False),
    "PNG, a profile that is not compressed": with_chunk(b"iCCP", b"name\0\0nonsense"),
    "PNG, an animation that is none": with_chunk(b"acTL", b"\0"),
    "PNG, 20,000 texts": encode(PHOTOGRAPH)[:33] + png_chunk(b"tEXt", b"a\0b") * 20_000 + encode(PHOTOGRAPH)[33:],
}
_JPEG = encode(PHOTOGRAPH, "JPEG")
for _what, _segment in {
    "JFIF cut short": b"\xff\xe0\0\x07JFIF\0",
    "a profile cut short": b"\xff\xe2\0\x0eICC_PROFILE\0",
    "a profile without its other parts": b"\xff\xe2\0\x14ICC_PROFILE\0\x01\x09abcd",
    "resources cut short": b"\xff\xed\0\x16Photoshop 3.0\x008BIM\x03\xed",
    "9 MB of comments": (b"\xff\xfe\xff\xff" + bytes(65_533)) * 137,
}.items():
    NO_PIXELS[f"JPEG, {_what}"] = _JPEG[:2] + _segment + _JPEG[2:]


@pytest.mark.parametrize("name", NO_PIXELS)
def test_what_is_no_pixels_never_fails_an_image(name: str) -> None:
    plain = load_image(encode(PHOTOGRAPH, name.partition(",")[0]), SPEC)
    np.testing.assert_array_equal(load_image(NO_PIXELS[name], SPEC), plain)


@pytest.mark.parametrize("form", ["AVIF", "HEIC"])
def test_damaged_exif_fails_neither_a_heic_nor_an_avif(form: str) -> None:
    info = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x32\x01\x02\0\xff\xff\0\0"
    good = exif(1) + bytes(100)
    data = heic(PHOTOGRAPH, exif=good) if form == "HEIC" else encode(PHOTOGRAPH, "AVIF", exif=b"Exif\0\0" + good[6:])
    damaged = data.replace(good[6:24], info[6:24])
    np.testing.assert_array_equal(load_image(damaged, SPEC), load_image(data, SPEC))


_MEASURE = """
import resource, sys
from models.manifest import InputSpec
from models.images.preprocess import load_image
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(load_image(data, InputSpec(height=224, width=224)).mean())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_jpeg_of_48_megapixels_is_decoded_within_150_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    picture = photograph(8064, 6048)
    picture.save(path, quality=80)
    done = subprocess.run([sys.executable, "-c", _MEASURE, path], cwd=ROOT, capture_output=True, text=True, check=True)
    mean, kilobytes = map(float, done.stdout.split())
    assert kilobytes < 150_000
    assert abs(mean - np.asarray(picture.resize((224, 224), box=(1008, 0, 7056, 6048))).mean()) < 1


def test_what_cannot_be_decoded_reduced_keeps_the_limit_of_memory() -> None:
    picture = photograph(200, 100)
    spec = InputSpec(height=8, width=8)
    limits = ImageLimits(max_pixels=20_000 // 4)
    assert load_image(encode(picture, "JPEG"), spec, limits).shape == (8, 8, 3)
    with pytest.raises(ImageError, match=f"20000 pixels; the limit is {4 * 4999}$"):
        load_image(encode(picture, "JPEG"), spec, ImageLimits(max_pixels=4999))
    hint = "200 x 100 = 20000 pixels; the limit is 5000 where an image cannot be decoded at a reduced size"
    for data in (encode(picture), encode(picture, "WEBP"), encode(picture, "AVIF"), encode(picture, "JPEG", progressive=True)):
        with pytest.raises(ImageError, match=hint):
            load_image(data, spec, limits)
    with pytest.raises(ImageError, match=hint):  # too small to be reduced for this backbone
        load_image(encode(picture, "JPEG"), InputSpec(height=80, width=80), limits)


def test_pillow_knows_no_more_formats_than_before() -> None:
    code = "import models.images.preprocess; from PIL import Image; Image.init(); assert 'HEIF' not in Image.OPEN"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
