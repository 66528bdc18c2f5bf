"""Encoded images to test with: real files in memory, made by Pillow where it can write them and by hand where it cannot."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """Random pixels (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """A few large shapes under noise, so that it takes some bytes."""
    smooth = Image.fromarray(noise(5, 7, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)
    return Image.blend(smooth, Image.fromarray(noise(height, width, seed=seed)), 0.3)


def encode(image: Image.Image | Pixels, form: str = "PNG", **options: Any) -> bytes:
    """The image as a file; `form` is Pillow's name of the format. WebP is lossless unless `options` say otherwise."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if form == "WEBP":
        options = {"lossless": True, "exact": True, **options}
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def animated(frames: Sequence[Pixels], form: str) -> bytes:
    """An animation: `GIF`, `PNG` or `WEBP`; as `MPO`, several photographs in one JPEG."""
    first, *others = map(Image.fromarray, frames)
    return encode(first, form, save_all=True, append_images=others)


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF of one entry, the orientation, in little (`<`) or big (`>`) endian."""
    header = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return b"Exif\0\0" + header + struct.pack(f"{order}HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def raw_png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, for what Pillow does not write: 16-bit colour, or sizes that the pixels do not bear out.

    Args:
        rows: the unfiltered pixels, each row led by a zero byte.
        extra: chunks between the header and the pixels, as (type, content).
    """
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, content) for name, content in chunks)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png16(values: NDArray[np.uint16], *extra: tuple[bytes, bytes]) -> bytes:
    """A 16-bit PNG: (H, W) is grey, (H, W, 3) colour."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return raw_png(values.shape[1], values.shape[0], 16, 0 if values.ndim == 2 else 2, rows, *extra)
