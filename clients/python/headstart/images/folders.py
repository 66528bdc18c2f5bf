"""Image files in folders: finds them, labels them by their folder, and says why other files are left out."""

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
    """The image files in a folder and its sub-folders, by path. Hidden files and files of other kinds are left out.

    Raises:
        NoImages: there are none.
    """
    found = [path for path in _visible_files(Path(folder)) if _is_image(path)]
    if not found:
        raise NoImages(f"{printable_path(folder)} holds no images")
    return found


def left_out(folder: str | os.PathLike[str], used: Iterable[Path]) -> dict[Path, str]:
    """All other visible files in a folder and its sub-folders, with the reason why each is not used."""
    taken = set(used)
    linked = {path.parent for path in taken}  # A class folder may itself be a link.
    return {path: _why_unused(path) for path in _visible_files(Path(folder)) if path not in taken and path not in linked}


def labelled_folder(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """Reads a folder that has a folder per class: `birds/robin/1.jpg` is an example of `robin`.

    Raises:
        NoImages: the folder has no folders, or one of them has no images, has folders itself, or has a name that is not UTF-8.
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
    """A path as text; bytes that are not UTF-8 are written as escapes."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def _why_unused(path: Path) -> str:
    if path.is_dir():
        return "a link to a folder, which is not followed"
    if not path.is_file():
        return "a link to nothing" if path.is_symlink() else "not a file"
    return "not in a class folder" if _is_image(path) else "not an image"


def _visible_files(root: Path) -> list[Path]:
    """The visible files in a folder and its sub-folders, and links to folders, by path.

    Raises:
        OSError: a folder cannot be read.
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
    """True if a file is an image by its name or by its content."""
    if not path.is_file():  # Reading from a pipe would wait.
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
