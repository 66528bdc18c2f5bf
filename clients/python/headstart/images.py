"""What callers have (paths, bytes, open files, pictures in memory, folders) into what one request may carry."""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from headstart.errors import NoImages
from headstart.formats import is_readable
from headstart.labels import clean_label


class OpenFile(Protocol):
    """A file opened to read bytes."""

    def read(self) -> bytes: ...


class Picture(Protocol):
    """A Pillow image, or a NumPy array of uint8, (height, width) or (height, width, 3 or 4)."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


Image = str | os.PathLike[str] | bytes | bytearray | memoryview | OpenFile | Picture
"""A path, the bytes of an image file, a file opened to read bytes, a Pillow image, or a NumPy array of uint8."""

LabelledImage = tuple[str, Image]

Examples = str | os.PathLike[str] | Mapping[str, Iterable[Image]] | Iterable[LabelledImage]
"""A folder with a folder per class, images by label, or (label, image) pairs."""

# The server's defaults are 256 images to predict, 1,024 new examples and 64 MB; the margins are for what multipart adds around
# every image, and for the images of others.
IMAGES_PER_REQUEST = 256
EXAMPLES_PER_REQUEST = 1000
BYTES_PER_REQUEST = 63_000_000

# Wider than what the server reads: a GIF should be refused by name rather than left out.
_IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image as it is sent.

    Attributes:
        position: in the call.
        name: its path, or else its place in the call.
        label: of an example.
    """

    position: int
    name: str
    content: bytes
    label: str = ""


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files in a folder and its sub-folders, by path; hidden ones are left out, and what is no image.

    Raises:
        NoImages: there are none.
    """
    found = [path for path in _visible_files(Path(folder)) if _is_image(path)]
    if not found:
        raise NoImages(f"{printable_path(folder)} holds no images")
    return found


def left_out(folder: str | os.PathLike[str], used: Iterable[Path]) -> dict[Path, str]:
    """Every other visible file in a folder and its sub-folders, and why it is not used."""
    taken = set(used)
    return {
        path: "not in a class folder" if _is_image(path) else "not an image"
        for path in _visible_files(Path(folder))
        if path not in taken
    }


def labelled_folder(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """Reads a folder that has a folder per class: `birds/robin/1.jpg` is an example of `robin`.

    Raises:
        NoImages: it has no folders, or one of them holds no images, or folders of its own, or a name that is not UTF-8.
    """
    root = Path(folder)
    classes = sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path.relative_to(root)))
    if not classes:
        raise NoImages(
            f"{printable_path(root)} has no folders; it needs one for each class, with the images of that class inside"
        )
    for path in classes:
        if printable_path(path.name) != path.name:
            raise NoImages(f"the folder {printable_path(path)} has a name that is not UTF-8; rename it")
    examples = [(path.name, image) for path in classes for image in image_files(path)]
    for label, image in examples:
        if image.parent.name != label or image.parent.parent != root:
            inside = printable_path(image.relative_to(root).parent)
            raise NoImages(
                f"{printable_path(root)} has images two levels down, in {inside}; give the folder whose folders are the classes"
            )
    return [(clean_label(label), image) for label, image in examples]


def printable_path(path: str | os.PathLike[str]) -> str:
    """A path with its bytes that are not UTF-8 written out."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def one_or_many(images: Image | Iterable[Image]) -> list[Image]:
    """A single image as a list of one: a path is itself a sequence, of characters, and a picture one of rows."""
    if isinstance(images, str | bytes | bytearray | memoryview | os.PathLike) or hasattr(images, "read"):
        return [cast("Image", images)]
    interface = getattr(images, "__array_interface__", None)
    if interface is not None and len(interface["shape"]) < 4:
        return [cast("Image", images)]
    return list(cast("Iterable[Image]", images))


def labelled(examples: Examples) -> list[LabelledImage]:
    """Any way of giving examples as (label, image) pairs, the labels as the server has them."""
    if isinstance(examples, str | os.PathLike):
        return [*labelled_folder(examples)]
    if isinstance(examples, Mapping):
        return [(clean_label(label), image) for label, images in examples.items() for image in one_or_many(images)]
    return [(clean_label(label), image) for label, image in examples]


def one_of_each_first(examples: Iterable[LabelledImage]) -> list[int]:
    """The positions of the first example of every class, then of the others: a task is created with all its classes, however
    it is split."""
    seen: set[str] = set()
    first: list[int] = []
    others: list[int] = []
    for position, (label, _) in enumerate(examples):
        (others if label in seen else first).append(position)
        seen.add(label)
    return first + others


def load(
    images: Iterable[tuple[int, str, Image]],
    prepare: Callable[[bytes], bytes] = bytes,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Loaded]:
    """Reads images, (position, label, image) each, on all cores and in their order.

    Args:
        prepare: what becomes of each file's bytes.
        progress: called with 1 for each.

    Raises:
        OSError: a file cannot be read.
        TypeError: an image is of no kind that can be sent.
    """

    def one(image: tuple[int, str, Image]) -> Loaded:
        position, label, given = image
        return Loaded(position, _name(given, position), prepare(_read(given)), label)

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for some in _slices(images, 4 * workers):  # so that few are in memory before they are wanted
            for loaded in pool.map(one, some):
                if progress:
                    progress(1)
                yield loaded


def in_requests(images: Iterable[Loaded], most: int) -> Iterator[list[Loaded]]:
    """Cuts images, in their order, into what one request may carry.

    Raises:
        NoImages: there are none.
    """
    batch: list[Loaded] = []
    size = 0
    for image in images:
        if batch and (len(batch) == most or size + len(image.content) > BYTES_PER_REQUEST):
            yield batch
            batch, size = [], 0
        batch.append(image)
        size += len(image.content)
    if not batch:
        raise NoImages("no images were given")
    yield batch


def _read(image: Image) -> bytes:
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "__array_interface__"):
        return _as_png(cast("Picture", image))
    if hasattr(image, "read"):
        return image.read()
    raise TypeError(
        f"an image is a path, bytes, a file opened to read bytes, a Pillow image or a NumPy array, not {type(image).__name__}"
    )


def _as_png(picture: Picture) -> bytes:
    """Without loss; what a Pillow image knows of its orientation and colours goes with it."""
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise TypeError("to send pictures that are in memory, install Pillow; or give paths or bytes of image files") from error
    image = picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(cast("Any", picture))
    if image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}:
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
    return file.getvalue()


def _name(image: Image, position: int) -> str:
    name = image if isinstance(image, str | os.PathLike) else getattr(image, "name", None)
    return printable_path(name) if isinstance(name, str | os.PathLike) else f"image {position + 1}"


Item = TypeVar("Item")


def _slices(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    some: list[Item] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    yield some


def _visible_files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not _hidden(path.relative_to(root))]


def _is_image(path: Path) -> bool:
    """Whether a file is called an image, or is one by its content."""
    if path.suffix.lower() in _IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return is_readable(file.read(1024))
    except OSError:
        return False


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
