"""Image files in folders: found, labelled by their folder's name, and left out with a reason."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from headstart.errors import NoImages
from headstart.images.formats import is_readable
from headstart.labels import clean_label

# Wider than what the server reads: a GIF should be refused by name rather than left out.
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


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


def _why_unused(path: Path) -> str:
    if path.is_dir():
        return "a link to a folder, which is not followed"
    if not path.is_file():
        return "a link to nothing" if path.is_symlink() else "not a file"
    return "not in a class folder" if _is_image(path) else "not an image"


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
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return is_readable(file.read(1024))
    except OSError:
        return False


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
