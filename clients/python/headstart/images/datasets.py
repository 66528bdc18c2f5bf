"""Labelled images as other tools save them: recognised by what is in a folder, and read without asking anybody for anything."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NoReturn

from headstart.errors import NoImages
from headstart.images.folders import image_files, labelled_folder, left_out, printable_path
from headstart.images.formats import is_readable
from headstart.images.kinds import Image
from headstart.images.other_tools import Annotated, UnknownFormat, custom_vision, label_studio, one_hot
from headstart.labels import clean_label

Example = tuple[tuple[str, ...], Image]
"""The labels of an image, and the image."""

SPLITS = ("train", "valid", "val", "validation", "test")
"""The folders that tools divide images into. All of their images become examples."""

_READERS: dict[str, Callable[[str], list[Annotated]]] = {
    "Label Studio's JSON": label_studio,
    "Custom Vision's JSON": custom_vision,
}
_ONE_HOT = "_classes.csv"
_SAMPLES = "-samples"
_LARGEST = 30_000_000  # bytes of an image, the server's limit


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled images.

    Attributes:
        kind: what they were recognised as.
        examples: with at least one label each.
        left_out: the files or entries that are no examples, each with the reason.
    """

    kind: str
    examples: list[Example]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """True if an image has more than one label."""
        return any(len(labels) > 1 for labels, _ in self.examples)


def read_dataset(source: Path) -> Dataset:
    """Reads a folder, or a JSON file that lies beside its images.

    Raises:
        NoImages: nothing there is known, or no image has a label.
        UnknownFormat: a JSON or CSV file is not what it seems to be.
        OSError: a file cannot be read.
    """
    found = _read(source)
    if not found.examples:
        reason = next((f": {name}: {why}" for name, why in found.left_out.items()), "")
        raise NoImages(f"{printable_path(source)} has no labelled images{reason}")
    return found


def _read(source: Path) -> Dataset:
    if source.is_file():
        return _annotated(source, source.parent) or _refused(source)
    parts = _splits(source) or [source]
    if lists := [part / _ONE_HOT for part in parts if (part / _ONE_HOT).is_file()]:
        return _joined("Roboflow's CSV", [_matched("", one_hot(_text(each)), each.parent) for each in lists])
    if (zips := sorted(source.glob("*.zip"))) and not _folders(source):
        return Dataset("Teachable Machine's samples", [example for each in zips for example in _samples(each)])
    for document in sorted(source.glob("*.json")):
        if found := _annotated(document, source):
            return found
    labelled = [each for part in parts for each in labelled_folder(part)]
    unused = left_out(source, [path for _, path in labelled])
    return Dataset(
        "folders" if parts == [source] else "folders of splits",
        [((label,), path) for label, path in labelled],
        {printable_path(path): reason for path, reason in unused.items()},
    )


def _folders(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))


def _splits(source: Path) -> list[Path]:
    """Returns the folders of splits; none where a class may be called like one."""
    folders = _folders(source)
    divided = all(path.name in SPLITS and ((path / _ONE_HOT).is_file() or _folders(path)) for path in folders)
    return folders if divided else []


def _annotated(document: Path, folder: Path) -> Dataset | None:
    """Reads a JSON file of annotations of the images in a folder; None if it holds none."""
    for kind, read in _READERS.items():
        if annotated := read(_text(document)):
            return _matched(kind, annotated, folder)
    return None


def _refused(document: Path) -> NoReturn:
    raise UnknownFormat(f"{printable_path(document)} is neither Label Studio's JSON nor the images of Custom Vision's API")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnknownFormat(f"{printable_path(file)} is not UTF-8") from error


def _matched(kind: str, annotated: list[Annotated], folder: Path) -> Dataset:
    """Finds the file of each entry among the images of a folder."""
    files = _Files(folder)
    found = Dataset(kind, [])
    for entry in annotated:
        path = next((path for name in entry.names if (path := files.find(name))), None)
        if not entry.labels:
            found.left_out[entry.names[0]] = "it has no label"
        elif path is None:
            found.left_out[entry.names[0]] = "no single image in the folder has this name"
        else:
            found.examples.append((tuple(dict.fromkeys(map(clean_label, entry.labels))), path))
    return found


def _joined(kind: str, parts: list[Dataset]) -> Dataset:
    left_out = {name: why for part in parts for name, why in part.left_out.items()}
    return Dataset(kind, [example for part in parts for example in part.examples], left_out)


def _samples(path: Path) -> Iterator[Example]:
    """Yields the images in a zip of one class, which it is called after."""
    label = clean_label(path.stem.removesuffix(_SAMPLES))
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir() and member.file_size <= _LARGEST and is_readable(image := archive.read(member)):
                    yield (label,), image
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise UnknownFormat(f"{printable_path(path)} is no zip that can be read") from error


class _Files:
    """The images in a folder and below it, by name."""

    def __init__(self, folder: Path) -> None:
        self._by_name: dict[str, list[Path]] = {}
        for path in image_files(folder):
            for name in {path.name, path.stem}:
                self._by_name.setdefault(name, []).append(path)

    def find(self, wanted: str) -> Path | None:
        """Returns the only image of that name, or of several the only one whose folders are those of `wanted` too."""
        parts = PurePosixPath(wanted).parts
        alike = self._by_name.get(parts[-1], []) if parts else []
        for length in range(2, len(parts) + 1):
            if len(alike) > 1:
                alike = [path for path in alike if path.parts[-length:] == parts[-length:]]
        return alike[0] if len(alike) == 1 else None
