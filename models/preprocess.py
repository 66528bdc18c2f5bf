"""Image bytes -> uint8 (H, W, 3): the only decode and resize there is, for training, evaluation and serving alike."""

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.manifest import InputSpec

Pixels = NDArray[np.uint8]

# Pillow's own guard warns at 89 megapixels and fails at 179; ours is a parameter, and checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# What Pillow says to a damaged animation, of which the still image is all that counts.
warnings.filterwarnings("ignore", "Invalid APNG", UserWarning)

_INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class ImageError(Exception):
    """An image that cannot be used. `code` is stable; `detail` is written for the person who sent the image."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one image may cost: encoded bytes and decoded pixels."""

    max_bytes: int = 10_000_000
    max_pixels: int = 25_000_000


def media_type(data: bytes) -> str:
    """The media type of an image, told by its first bytes.

    Raises:
        ImageError: `image_unsupported`.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    raise ImageError("image_unsupported", "the file is not a JPEG, PNG or WebP image" if data else "the file is empty")


def load_image(data: bytes, spec: InputSpec, limits: ImageLimits = ImageLimits()) -> Pixels:
    """Decodes an image and fits it to what a backbone expects.

    EXIF orientation is applied, alpha is composited on white, 16-bit keeps its high byte, palette, grey and CMYK become
    RGB, and of an animation the first frame counts. Every pixel is decoded here, so a broken image fails here.

    Args:
        data: JPEG, PNG or WebP, told by content.

    Returns:
        uint8 (spec.height, spec.width, 3), a fresh array.

    Raises:
        ImageError: `image_too_large`, `image_unsupported` or `image_broken`.
    """
    if len(data) > limits.max_bytes:
        raise ImageError("image_too_large", f"the image has {len(data)} bytes; the limit is {limits.max_bytes}")
    reader = _READERS[media_type(data)]
    try:
        image = reader(io.BytesIO(data))
    except Exception as error:  # A parser fed hostile bytes may raise anything; all of it means the same to the sender.
        raise ImageError(*_BROKEN) from error
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ImageError(
            "image_too_large",
            f"the image has {image.width} x {image.height} = {pixels} pixels; the limit is {limits.max_pixels}",
        )
    try:
        extent = _reduce(image, spec)
        image.load()
        fitted = _fit(_to_rgb(image), extent, spec, _orientation(image.info.get("exif", b"")))
    except Exception as error:  # As above, of the decoders.
        raise ImageError(*_BROKEN) from error
    return np.array(fitted, dtype=np.uint8)


class _Jpeg(JpegImageFile):
    """A JPEG, and nothing more: Pillow would have EXIF parsed for the resolution, with warnings where it is damaged, and a
    photograph with a second one attached (MPO) become another format."""

    def _read_dpi_from_exif(self) -> None:
        pass


_READERS: dict[str, type[ImageFile.ImageFile]] = {"image/jpeg": _Jpeg, "image/png": PngImageFile, "image/webp": WebPImageFile}
_BROKEN = ("image_broken", "the image is truncated or damaged and cannot be decoded")

# What undoes each value of EXIF's orientation; from the fifth on, it exchanges height and width.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _reduce(image: ImageFile.ImageFile, spec: InputSpec) -> tuple[float, float]:
    """Has a JPEG decoded at a half, a quarter or an eighth of its size, at a fraction of the cost, while that leaves twice the
    size asked for, so that resizing still decides about every pixel.

    Returns:
        width and height of the image in pixels as they will be decoded: not always whole numbers, while the decoder's are.
    """
    side = 2 * max(spec.height, spec.width)  # of both axes, as the image may yet be turned
    reduced = image.draft(image.mode, (side, side))
    return reduced[1][2:] if reduced else image.size


def _orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 where it is absent or damaged, which says nothing of the pixels beside it.

    EXIF is a TIFF: byte order, the offset of the first directory, and there a count and entries of 12 bytes.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2], "<")
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(count):
            tag, _type, _values, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
            if tag == 0x0112:
                return int(value)
    except struct.error:
        pass
    return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray(_high_byte(np.asarray(image), image.info.get("transparency"))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _high_byte(grey: NDArray[np.uint16], transparent: int | None) -> Pixels:
    """16-bit grey as Pillow reads 16-bit colour, by its high byte; on conversion it would clip to 255."""
    high = (grey >> 8).astype(np.uint8)
    high[grey == transparent] = 255
    return high


def _fit(image: Image.Image, extent: tuple[float, float], spec: InputSpec, orientation: int) -> Image.Image:
    """Upright, and scaled to cover the backbone's input; what protrudes is cropped from both sides equally.

    Turning comes last, when the image is small.
    """
    turn = _UPRIGHT.get(orientation)
    turned = turn is not None and orientation >= 5
    size = (spec.height, spec.width) if turned else (spec.width, spec.height)
    if image.size != size:
        scale = min(extent[0] / size[0], extent[1] / size[1])
        left, top = (max(0.0, (whole - scale * part) / 2) for whole, part in zip(extent, size, strict=True))
        box = (left, top, extent[0] - left, extent[1] - top)
        image = image.resize(size, _INTERPOLATION[spec.interpolation], box)
    return image if turn is None else image.transpose(turn)
