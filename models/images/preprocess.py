"""Image bytes -> uint8 (H, W, 3): the only decode and resize there is, for training, evaluation and serving alike."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageCms, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.images.colour import KEPT_PROFILE_BYTES, to_srgb
from models.images.containers import Contents, heif_brands, take_heif_apart, take_jpeg_apart, take_png_apart, take_webp_apart
from models.images.orientation import orientation
from models.manifest import InputSpec

Pixels = NDArray[np.uint8]

# Pillow's own guard warns at 89 megapixels and fails at 179. Ours is a parameter, and is checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# Images are decoded beside one another, each on a thread of its own.
AvifImagePlugin.DEFAULT_MAX_THREADS = pillow_heif.options.DECODE_THREADS = 1
# Other pictures in the file are of no use here.
pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False

READABLE = "JPEG, PNG, WebP, HEIC or AVIF"
_REDUCED = 4  # a JPEG that is decoded at half its size or less may have this many times the limit of pixels
_SCANS = 25  # how often a decoder may go over as many pixels as the limit
_MAX_SIDE = 65_535  # as of a JPEG; a decoder does something for every row, however short

# The measured cost of a pixel, relative to one of a PNG that is decoded whole.
_REDUCED_WORK = 1 / 16
_SCAN_WORK = 1 / 10

_INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class ImageError(Exception):
    """An image that cannot be used. `code` is stable; `detail` is written for the person who sent the image."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The limits on one image.

    Attributes:
        max_bytes: encoded.
        max_pixels: decoded at once. A JPEG that is decoded at half its size or less may have four times as many.
    """

    max_bytes: int = 30_000_000
    max_pixels: int = 25_000_000


def media_type(data: bytes) -> str:
    """Returns the media type of an image, from its first bytes.

    Raises:
        ImageError: `image_unsupported`.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    brands = heif_brands(data)
    if not brands.isdisjoint(_AVIF):
        return "image/avif"
    if not brands.isdisjoint(_HEIC):
        return "image/heic"
    raise ImageError("image_unsupported", f"the file is not a {READABLE} image" if data else "the file is empty")


MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/heic", "image/avif")
_AVIF, _HEIC = frozenset({b"avif", b"avis"}), frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image within the limits, with no pixel decoded yet.

    Attributes:
        work: the cost of decoding, in pixels of a PNG.
    """

    work: int
    _image: ImageFile.ImageFile
    _extent: tuple[float, float]
    _spec: InputSpec
    _contents: Contents

    def decode(self) -> Pixels:
        """Decodes the image as `load_image` does. It may be called once.

        Raises:
            ImageError: `image_broken`.
            MemoryError: there is too little memory for its pixels.
        """
        try:
            self._image.load()
            fitted = _to_rgb(self._image, self._extent, self._spec, self._contents)
        except MemoryError:  # It says nothing of the image.
            raise
        except Exception as error:  # A parser fed hostile bytes may raise anything; all of it means the same to the sender.
            raise ImageError(*_BROKEN) from error
        # NumPy's own conversion asks for several protocols before it finds the one that Pillow has.
        return np.frombuffer(fitted.tobytes(), np.uint8).reshape(fitted.height, fitted.width, 3).copy()


def open_image(data: bytes, spec: InputSpec, limits: ImageLimits = ImageLimits()) -> OpenedImage:
    """Reads an image's headers. Its cost is known, and bounded, before it is decoded.

    Args, Raises: as `load_image`.
    """
    if len(data) > limits.max_bytes:
        raise ImageError("image_too_large", f"the image has {len(data)} bytes; the limit is {limits.max_bytes}")
    take_apart, reader = _FORMATS[media_type(data)]
    try:
        contents = take_apart(data)
        image = reader(io.BytesIO(contents.pixels))
        size = image.size
        extent = _reduce(image, spec)
    except MemoryError:  # As above.
        raise
    except Exception as error:  # As above.
        raise ImageError(*_BROKEN) from error
    work = _work(size, image, contents, limits.max_pixels) + _profile_work(image, contents)
    return OpenedImage(work, image, extent, spec, contents)


def load_image(data: bytes, spec: InputSpec, limits: ImageLimits = ImageLimits()) -> Pixels:
    """Decodes an image and fits it to the input of a backbone.

    Orientation is applied as Pillow's `ImageOps.exif_transpose` does; HEIC and AVIF follow their own properties. Colours become
    sRGB where a profile says that they are not. Alpha is composited on white. 16-bit keeps its high byte. Palette, grey and CMYK
    become RGB. Of an animation the first frame counts. Every pixel is decoded here, so a broken image fails here.

    Args:
        data: JPEG, PNG, WebP, HEIC or AVIF, recognised by content.

    Returns:
        uint8 (spec.height, spec.width, 3), a fresh array.

    Raises:
        ImageError: `image_too_large`, `image_unsupported` or `image_broken`.
        MemoryError: there is too little memory for its pixels.
    """
    return open_image(data, spec, limits).decode()


def fit_pixels(pixels: Pixels, spec: InputSpec) -> Pixels:
    """Fits decoded pixels (H, W, 3), upright and in sRGB, to the input of a backbone, as `load_image` fits an image's."""
    height, width = pixels.shape[:2]
    return np.asarray(_fit(Image.fromarray(pixels), (width, height), spec, 1))


_FORMATS: dict[str, tuple[Callable[[bytes], Contents], type[ImageFile.ImageFile]]] = {
    "image/jpeg": (take_jpeg_apart, JpegImageFile),
    "image/png": (take_png_apart, PngImageFile),
    "image/webp": (take_webp_apart, WebPImageFile),
    "image/heic": (take_heif_apart, pillow_heif.HeifImageFile),
    "image/avif": (take_heif_apart, AvifImagePlugin.AvifImageFile),
}
_BROKEN = ("image_broken", "the image is truncated or damaged and cannot be decoded")

# The operation that undoes each value of EXIF's orientation; from the fifth on, it exchanges height and width.
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
    """Makes the decoder read a JPEG at a half, a quarter or an eighth of its size, at a fraction of the cost.

    The result has at least twice the size that it is scaled to, so that resizing still decides about every pixel.

    Returns:
        width and height of the image in pixels as they will be decoded: not always whole numbers, while the decoder's are.
    """
    side = 2 * max(spec.covered)  # of both axes, as the image may yet be turned
    reduced = image.draft(image.mode, (side, side)) if isinstance(image, JpegImageFile) else None
    return reduced[1][2:] if reduced else image.size


def _work(size: tuple[int, int], image: ImageFile.ImageFile, contents: Contents, limit: int) -> int:
    """Returns the cost of decoding, in pixels of a PNG.

    Raises:
        ImageError: `image_too_large`.
    """
    shown = pixels = size[0] * size[1]
    most, hint, reduced = limit, "", not contents.whole and image.size != size
    if reduced:
        most = _REDUCED * limit
    else:
        pixels = max(pixels, contents.coded_pixels, _tiled_pixels(image))
        hint = " where an image cannot be decoded at a reduced size, as large baseline JPEGs can"
    if pixels > most:
        told = f"{size[0]} x {size[1]} = {pixels}" if pixels == shown else f"parts of {pixels}"
        raise ImageError("image_too_large", f"the image has {told} pixels; the limit is {most}{hint}")
    if max(size) > _MAX_SIDE:
        raise ImageError("image_too_large", f"the image has {size[0]} x {size[1]} pixels; the limit of a side is {_MAX_SIDE}")
    if pixels * contents.scans > _SCANS * limit:
        told = f"{contents.scans} scans of {pixels} pixels; the limit is {_SCANS * limit // pixels}"
        raise ImageError("image_too_large", f"the image is coded in {told}")
    return int(pixels * (_REDUCED_WORK if reduced else max(1.0, _SCAN_WORK * contents.scans)))


def _profile_work(image: ImageFile.ImageFile, contents: Contents) -> int:
    """Returns the cost of reading a colour profile, in pixels of a PNG; zero where it is of a usual size, and may be kept."""
    profile = contents.profile or image.info.get("icc_profile") or b""
    return len(profile) if len(profile) > KEPT_PROFILE_BYTES else 0


def _tiled_pixels(image: ImageFile.ImageFile) -> int:
    """Returns the number of pixels in a HEIC's tiles, which may be more than it shows; zero without tiles."""
    tiling = image.info.get("tiling")
    if not tiling:
        return 0
    width, height = (tiling[f"num_{many}"] * tiling[f"tile_{side}"] for many, side in (("columns", "width"), ("rows", "height")))
    # The last tiles of a sound file protrude by less than one.
    sound = width - tiling["tile_width"] < tiling["image_width"] and height - tiling["tile_height"] < tiling["image_height"]
    return int(tiling["image_width"] * tiling["image_height"] if sound else width * height)


def _to_rgb(image: ImageFile.ImageFile, extent: tuple[float, float], spec: InputSpec, contents: Contents) -> Image.Image:
    """Returns the image fitted, upright and in sRGB. Colours are converted last, when the image is small."""
    flat = _flat(image)
    convert = to_srgb(contents.profile or image.info.get("icc_profile"), flat.mode)
    if flat.mode == "CMYK" and convert is None:
        flat = flat.convert("RGB")
    upright = orientation(contents.exif or image.info.get("exif") or b"", contents.xmp or image.info.get("xmp") or b"")
    fitted = _fit(flat, extent, spec, upright)
    if convert is None:
        return fitted if fitted.mode == "RGB" else fitted.convert("RGB")
    converted = ImageCms.applyTransform(fitted, convert)
    assert converted is not None
    return converted


def _flat(image: Image.Image) -> Image.Image:
    """Returns the image without alpha, at 8 bits: RGB, L or CMYK, whichever is nearest."""
    if image.mode.startswith("I"):
        return Image.fromarray(_high_byte(np.asarray(image), image.info.get("transparency")))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return flat.convert("L" if image.mode in {"L", "LA"} else "RGB")
    return image if image.mode in {"RGB", "L", "CMYK"} else image.convert("RGB")


def _high_byte(grey: NDArray[np.uint16], transparent: int | None) -> Pixels:
    """Returns 16-bit grey by its high byte, as Pillow reads 16-bit colour. Pillow's own conversion would clip to 255."""
    high = (grey >> 8).astype(np.uint8)
    high[grey == transparent] = 255
    return high


def _fit(image: Image.Image, extent: tuple[float, float], spec: InputSpec, orientation: int) -> Image.Image:
    """Returns the image upright, and fitted to the backbone's input by its rule. What protrudes is cropped from both sides alike.

    Turning comes last, when the image is small.
    """
    turn = _UPRIGHT.get(orientation)
    turned = turn is not None and orientation >= 5
    size = (spec.height, spec.width) if turned else (spec.width, spec.height)
    covered = spec.covered if turned else spec.covered[::-1]
    if image.size != size or size != covered:
        scale = min(extent[0] / covered[0], extent[1] / covered[1])
        parts = extent if spec.resize == "stretch" else (scale * size[0], scale * size[1])
        left, top = (max(0.0, (whole - part) / 2) for whole, part in zip(extent, parts, strict=True))
        box = (left, top, extent[0] - left, extent[1] - top)
        image = image.resize(size, _INTERPOLATION[spec.interpolation], box)
    return image if turn is None else image.transpose(turn)
