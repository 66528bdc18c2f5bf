"""What callers have (paths, bytes, open files, pictures in memory, folders) into what one request may carry."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar, cast

from headstart.errors import NoImages
from headstart.images.formats import is_readable
from headstart.images.kinds import IMAGE, Image, OpenFile, as_png, checked_image, is_picture
from headstart.labels import clean_label

LabelledImage = tuple[str, Image]

Examples = str | os.PathLike[str] | Mapping[str, Image | Iterable[Image]] | Iterable[LabelledImage]
"""A folder with a folder per class, images by label, or (label, image) pairs."""

# The server's defaults are 256 images to predict and 64 MB; the margin is for what multipart adds around every image.
IMAGES_PER_REQUEST = 256
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
        file_name: what its file is called, without folders; empty for one that has no file.
    """

    position: int
    name: str
    content: bytes
    label: str = ""
    file_name: str = ""

    @property
    def part(self) -> tuple[str, tuple[str, bytes]]:
        """The part of a form that carries it. A file's part has a name; the server takes this one for none."""
        return "images", (self.file_name or ".", self.content)


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
    linked = {path.parent for path in taken}  # A class folder may be a link.
    return {path: _why_unused(path) for path in _visible_files(Path(folder)) if path not in taken and path not in linked}


def _why_unused(path: Path) -> str:
    if path.is_dir():
        return "a link to a folder, which is not followed"
    if not path.is_file():
        return "a link to nothing" if path.is_symlink() else "not a file"
    return "not in a class folder" if _is_image(path) else "not an image"


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


def one_or_many(argument: str, images: Image | Iterable[Image]) -> list[Image]:
    """A single image as a list of one: a path is itself a sequence, of characters, and a picture one of rows.

    Args:
        argument: what the caller calls them.

    Raises:
        TypeError: one of them is no image.
    """
    if isinstance(images, str | bytes | bytearray | memoryview | os.PathLike) or hasattr(images, "read") or is_picture(images):
        return [checked_image(argument, cast("Image", images))]
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise TypeError(f"{argument}: {IMAGE}, or several of these, not {type(images).__name__}")
    return [checked_image(f"{argument}[{position}]", image) for position, image in enumerate(images)]


def labelled(examples: Examples) -> list[LabelledImage]:
    """Any way of giving examples as (label, image) pairs.

    Raises:
        TypeError: it is none; the message says where.
    """
    if isinstance(examples, str | os.PathLike):
        return [*labelled_folder(examples)]
    if isinstance(examples, Mapping):
        return [
            (_checked_label("examples", label), image)
            for label, images in examples.items()
            for image in one_or_many(f"examples[{label!r}]", images)
        ]
    if not isinstance(examples, Iterable):
        raise TypeError(f"examples: a folder, images by label, or (label, image) pairs, not {type(examples).__name__}")
    return [_pair(f"examples[{position}]", example) for position, example in enumerate(examples)]


def _pair(argument: str, example: object) -> LabelledImage:
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise TypeError(f"{argument}: a (label, image) pair, not {type(example).__name__}")
    label, image = example
    return _checked_label(argument, label), checked_image(argument, image)


def _checked_label(argument: str, label: object) -> str:
    if not isinstance(label, str):
        raise TypeError(f"{argument}: a label is text, not {type(label).__name__}")
    return clean_label(label)


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
        TypeError: a file gives text, or Pillow is not there to send a picture with.
    """

    def one(image: tuple[int, str, Image]) -> Loaded:
        position, label, given = image
        path = _path_of(given)
        name = f"image {position + 1}" if path is None else printable_path(path)
        return Loaded(position, name, prepare(_read(given, position)), label, _file_name(path))

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


def _read(image: Image, position: int) -> bytes:
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if is_picture(image):
        return as_png(image)
    content = cast("OpenFile", image).read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError(f"image {position + 1}: its file gives {type(content).__name__} and not bytes; open it with mode 'rb'")
    return bytes(content)


def _path_of(image: Image) -> str | None:
    """Where an image is from: its path, that of its open file, or of the file that a Pillow image was opened from."""
    path = image if isinstance(image, str | os.PathLike) else getattr(image, "name", None) or getattr(image, "filename", None)
    if not path or not isinstance(path, str | os.PathLike):
        return None
    text = os.fspath(path)
    return text if isinstance(text, str) else None


def _file_name(path: str | None) -> str:
    return "" if path is None else Path(path).name.encode(errors="surrogateescape").decode(errors="replace")


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
    """What is no folder in a folder and its sub-folders, links to folders included, by path. Raises OSError for what cannot be
    looked into.
    """
    found: list[Path] = []
    for inside, folders, files in os.walk(root, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(inside, name).is_symlink()]
        found += [Path(inside, name) for name in (*files, *links) if not name.startswith(".")]
    return sorted(found)


def _refuse(error: OSError) -> NoReturn:
    raise error


def _is_image(path: Path) -> bool:
    """Whether a file is called an image, or is one by its content."""
    if not path.is_file():  # a pipe would be waited for
        return False
    if path.suffix.lower() in _IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return is_readable(file.read(1024))
    except OSError:
        return False


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
