"""What is no pixels never fails an image, and what says how they are meant is heeded: part by part, in every format."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from models.images.preprocess import Pixels, load_image
from models.manifest import InputSpec
from tests.helpers.images import encode, exif, noise, png16, png_chunk
from tests.helpers.profiles import grey_profile, wide_gamut
from training.data.loading import load_images

SRGB = ImageCms.createProfile("sRGB")
PHOTOGRAPH = Image.fromarray(noise(5, 7)).resize((64, 48), Image.Resampling.BICUBIC)
SPEC = InputSpec(height=48, width=64)
PLAIN = {form: encode(PHOTOGRAPH, form) for form in ("PNG", "JPEG", "WEBP")}

_COMMON, _RARE = (
    "acTL bKGD caBX cHRM cICP cLLI dSIG eXIf fcTL fdAT gAMA gIFg gIFt gIFx hIST iCCP iDOT",
    "iTXt mDCV mkBF oFFs orNT pCAL pHYs sBIT sCAL sPLT sRGB sTER tEXt tIME tRNS vpAg zTXt",
)
ANCILLARY = [*_COMMON.split(), *_RARE.split()]
CONTENTS = {
    "nothing": b"",
    "one byte": b"\0",
    "noise": noise(10, 10).tobytes(),
    "a name and no more": b"name\0",
    "what is not compressed": b"name\0\0nonsense",
    "8 MB unpacked": b"name\0\0" + zlib.compress(bytes(8_000_000)),
    "2 MB": noise(1000, 700).tobytes(),
}


def with_chunk(name: str, content: bytes, *, late: bool = False) -> bytes:
    at = -12 if late else 33
    return PLAIN["PNG"][:at] + png_chunk(name.encode(), content) + PLAIN["PNG"][at:]


@pytest.mark.parametrize("name", ANCILLARY)
@pytest.mark.parametrize("late", [False, True], ids=["before the pixels", "after them"])
def test_no_ancillary_chunk_of_a_png_fails_it(name: str, late: bool) -> None:
    for content in CONTENTS.values():
        np.testing.assert_array_equal(load_image(with_chunk(name, content, late=late), SPEC), np.asarray(PHOTOGRAPH))
    chunk = png_chunk(name.encode(), b"whatever")[:-4] + b"oops"
    data = PLAIN["PNG"][:33] + chunk + PLAIN["PNG"][33:]
    np.testing.assert_array_equal(load_image(data, SPEC), np.asarray(PHOTOGRAPH))


LEADS = [b"", b"Exif\0\0", b"ICC_PROFILE\0", b"ICC_PROFILE\0\x01\x01", b"JFIF\0", b"JFXX\0", b"Adobe", b"MPF\0", b"FPXR\0"]
LEADS += [
    b"http://ns.adobe.com/xap/1.0/\0",
    b"http://ns.adobe.com/xmp/extension/\0",
    b"Photoshop 3.0\0",
    b"Photoshop 3.0\x008BIM",
]


@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE])
def test_no_application_segment_of_a_jpeg_fails_it(marker: int) -> None:
    plain, data = load_image(PLAIN["JPEG"], SPEC), PLAIN["JPEG"]
    for lead in LEADS:
        if marker == 0xEE and lead == b"Adobe":
            continue  # which says how colours are coded
        for content in (b"", b"\0", noise(3, 3).tobytes(), b"\xff" * 60_000, b"\xff\xd9\xff\xda" * 100):
            body = lead + content
            segment = bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body
            np.testing.assert_array_equal(load_image(data[:2] + segment + data[2:], SPEC), plain)


def webp(*chunks: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """The photograph in the extended form, with those chunks before its pixels and after them."""
    head = struct.pack("<4sIB3x", b"VP8X", 10, flags) + (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    extra = b"".join(name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in chunks)
    body = b"WEBP" + head + extra + PLAIN["WEBP"][12:] + extra
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("name", [b"EXIF", b"XMP ", b"ICCP", b"ABCD"])
@pytest.mark.parametrize("flags", [0, 0x2C])
def test_no_metadata_of_a_webp_fails_it(name: bytes, flags: int) -> None:
    for content in CONTENTS.values():
        np.testing.assert_array_equal(load_image(webp((name, content), flags=flags), SPEC), np.asarray(PHOTOGRAPH))
    upright = load_image(webp((b"EXIF", exif(3)), (b"ABCD", b"x" * 101)), SPEC)
    np.testing.assert_array_equal(upright, np.asarray(PHOTOGRAPH)[::-1, ::-1])


def test_the_trainer_uses_images_whatever_is_beside_their_pixels(tmp_path: Path) -> None:
    images = {
        "profile.png": with_chunk("iCCP", CONTENTS["8 MB unpacked"]),
        "text.png": with_chunk("zTXt", CONTENTS["8 MB unpacked"]),
        "resolution.png": with_chunk("pHYs", b"\0"),
        "xmp.webp": webp((b"XMP ", CONTENTS["noise"])),
        "turned.jpg": encode(PHOTOGRAPH, "JPEG", exif=exif(6)),
        "colours.png": encode(PHOTOGRAPH, icc_profile=wide_gamut()),
    }
    for name, content in images.items():
        (tmp_path / "ant").mkdir(exist_ok=True)
        (tmp_path / "ant" / name).write_bytes(content)
    found = load_images([tmp_path], ["ant"], SPEC)
    assert not found.skipped
    for source, pixels in zip(found.sources, found.images, strict=True):
        np.testing.assert_array_equal(pixels, load_image(images[Path(source).name], SPEC))


def cmyk_profile() -> bytes:
    """A printer that is none: a table of four inks, of two levels each, of colours in Lab."""
    rgb = ImageCms.ImageCmsProfile(SRGB).tobytes()
    ends = struct.pack(">HH", 0, 65535)
    lightness, a, b = np.random.default_rng(5).integers(0x2000, 0xE000, (3, 16))
    table = np.stack([lightness, a, b], axis=1).astype(">u2").tobytes()
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + identity + struct.pack(">HH", 2, 2) + ends * 4 + table + ends * 3
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    head = bytearray(rgb[:128])
    head[12:24] = b"prtrCMYKLab "
    at = 132 + 24
    tags = struct.pack(">I4sII4sII", 2, b"A2B0", at, len(lut), b"wtpt", at + len(lut), len(white))
    body = tags + lut + white
    return struct.pack(">I", 128 + len(body)) + bytes(head[4:]) + body


def converted(stored: Image.Image, profile: bytes) -> Pixels:
    """By Pillow's own way."""
    done = ImageCms.profileToProfile(stored, ImageCms.ImageCmsProfile(io.BytesIO(profile)), SRGB, outputMode="RGB")
    assert done is not None
    return np.asarray(done)


@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_profile_of_inks_is_applied_to_jpegs_of_four_inks(transform: int, progressive: bool) -> None:
    data = encode(PHOTOGRAPH.convert("CMYK"), "JPEG", quality=95, icc_profile=cmyk_profile(), progressive=progressive)
    at = data.index(b"Adobe") + 11
    data = data[:at] + bytes([transform]) + data[at + 1 :]
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.mode == "CMYK"
        expected = converted(stored, cmyk_profile())
        plain = np.asarray(stored.convert("RGB"))
    assert np.abs(expected.astype(int) - plain).mean() > 5
    np.testing.assert_array_equal(load_image(data, SPEC), expected)
    without = encode(PHOTOGRAPH.convert("CMYK"), "JPEG", quality=95, progressive=progressive)
    at = without.index(b"Adobe") + 11
    np.testing.assert_array_equal(load_image(without[:at] + bytes([transform]) + without[at + 1 :], SPEC), plain)


def test_profiles_hold_for_palettes_and_16_bits_too() -> None:
    palette = PHOTOGRAPH.quantize(64)
    np.testing.assert_array_equal(
        load_image(encode(palette, icc_profile=wide_gamut()), SPEC), converted(palette.convert("RGB"), wide_gamut())
    )
    colours = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    chunk = (b"iCCP", b"name\0\0" + zlib.compress(wide_gamut()))
    high = Image.fromarray((colours >> 8).astype(np.uint8))
    np.testing.assert_array_equal(load_image(png16(colours, chunk), SPEC), converted(high, wide_gamut()))
    chunk = (b"iCCP", b"name\0\0" + zlib.compress(grey_profile()))
    high = Image.fromarray((colours[..., 0] >> 8).astype(np.uint8))
    np.testing.assert_array_equal(load_image(png16(colours[..., 0], chunk), SPEC), converted(high, grey_profile()))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_stored_as_long_is_applied_as_pillow_does(turn: int, order: str, form: str) -> None:
    tiff = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    long = b"Exif\0\0" + tiff + struct.pack(f"{order}HHHIII", 1, 0x0112, 4, 1, turn, 0)
    data = encode(PHOTOGRAPH, form, exif=long)
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    spec = InputSpec(height=expected.shape[0], width=expected.shape[1])
    np.testing.assert_array_equal(load_image(data, spec), expected)
    assert expected.shape == ((64, 48, 3) if turn >= 5 else (48, 64, 3))
