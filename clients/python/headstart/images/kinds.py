"""The forms in which callers give images. Pillow, NumPy and pandas are not imported: callers who have such images have them."""

import io
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeGuard, cast


class OpenFile(Protocol):
    """A file opened to read bytes."""

    def read(self) -> bytes: ...


class Picture(Protocol):
    """A Pillow image, or a NumPy array of uint8, (height, width) or (height, width, 1, 3 or 4)."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


Image = str | os.PathLike[str] | bytes | bytearray | memoryview | OpenFile | Picture
"""A path, the bytes of an image file, a file opened to read bytes, a Pillow image, or a NumPy array of uint8."""

IMAGE = "an image is a path, bytes, a file opened to read bytes, a Pillow image or a NumPy array"

_CHANNELS = frozenset({1, 3, 4})
_AS_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16B"})


def is_picture(image: object) -> TypeGuard[Picture]:
    """True for a Pillow image, and for an array of two or three axes; arrays of more axes hold several images."""
    if _is_pillow(image):
        return True
    interface = getattr(image, "__array_interface__", None)
    return isinstance(interface, dict) and len(interface["shape"]) in {2, 3}


def is_table(given: object) -> bool:
    """True for a DataFrame of pandas. Its columns are series, which are iterated over like lists."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(given, pandas.DataFrame)


def checked_image(argument: str, image: Image) -> Image:
    """The image, if it is of a kind that can be sent.

    Raises:
        TypeError: it is not; the message names the argument.
    """
    if isinstance(image, io.TextIOBase):
        raise TypeError(f"{argument}: {IMAGE}, not a file opened to read text; open it with mode 'rb'")
    if isinstance(image, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(image, "read") or _is_pillow(image):
        return image
    if not is_picture(image):
        raise TypeError(f"{argument}: {IMAGE}, not {type(image).__name__}")
    interface = image.__array_interface__
    shape = interface["shape"]
    if interface["typestr"] != "|u1" or (len(shape) == 3 and shape[2] not in _CHANNELS) or 0 in shape:
        raise TypeError(
            f"{argument}: {IMAGE} of uint8 from 0 to 255, (height, width) or (height, width, 1, 3 or 4), "
            f"not of {getattr(image, 'dtype', interface['typestr'])}, {tuple(shape)}"
        )
    return image


def one_or_many(argument: str, images: Image | Iterable[Image]) -> list[Image]:
    """The images as a list; a single image becomes a list of one, though a path is itself a sequence of characters.

    Args:
        argument: the argument's name, for messages.

    Raises:
        TypeError: one of them is no image.
    """
    if is_table(images):
        raise TypeError(f"{argument}: a table has several columns; give the one that has the images, as table['image']")
    if isinstance(images, str | bytes | bytearray | memoryview | os.PathLike) or hasattr(images, "read") or is_picture(images):
        return [checked_image(argument, cast("Image", images))]
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise TypeError(f"{argument}: {IMAGE}, or several of these, not {type(images).__name__}")
    return [checked_image(f"{argument}[{position}]", image) for position, image in enumerate(images)]


def as_png(picture: Picture) -> bytes:
    """A picture as a PNG file, which loses nothing; a Pillow image's orientation and colour profile are kept."""
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise TypeError("to send pictures that are in memory, install Pillow; or give paths or bytes of image files") from error
    image = picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(_without_axis(picture))
    if image.mode not in _AS_PNG:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
    return file.getvalue()


def _without_axis(picture: Picture) -> Any:
    """An array of one channel without its last axis: Pillow takes no axis of length 1."""
    array = cast("Any", picture)
    return array[:, :, 0] if array.__array_interface__["shape"][2:] == (1,) else array


def _is_pillow(image: object) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)
