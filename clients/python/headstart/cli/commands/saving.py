"""Saves a task's images as files: in a folder for each class, and those of none of the classes in a folder beside that."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePath

from headstart.cli.failures import Misused
from headstart.client import Client
from headstart.errors import ImageNotKept
from headstart.replies.tasks import Example
from headstart.whole import filled_whole

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/heic": ".heic", "image/avif": ".avif"}
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # on Windows
_FORBIDDEN = frozenset('/\\:*?"<>|')
_LONGEST = 200  # bytes; file systems take 255


def beside(folder: Path) -> Path:
    """The folder of the images of none of the classes, where the others are saved to `folder`."""
    return Path(f"{folder.absolute()}-none-of-these")


def save(
    client: Client, task: str, examples: Sequence[Example], folder: Path, advance: Callable[[int], None]
) -> tuple[dict[str, str], list[Example]]:
    """Writes the images as the server has them, byte for byte, to `folder/LABEL/FILE`, or beside it where there is no label. An
    image of several labels is in the folder of each.

    Labels and names come from others. No name leads out of the folder, is hidden, or overwrites another. After an error there is
    none of the images.

    Returns:
        The folder of each label, and the examples whose images the server did not keep.

    Raises:
        Misused: the folder is not empty.
        HeadstartError: the server cannot be reached, or refuses a call.
        OSError: the folder cannot be written.
    """
    apart = beside(folder)
    with_apart = any(not example.classes for example in examples)
    for each in [folder, apart] if with_apart else [folder]:
        each.mkdir(parents=True, exist_ok=True)
        if any(each.iterdir()):
            raise Misused(f"{each} is not empty; name a new folder, so that nothing is overwritten")
    with filled_whole(folder) as whole, filled_whole(apart) if with_apart else nullcontext(apart) as whole_apart:
        return _fill(client, task, examples, whole, whole_apart, advance)


def _fill(
    client: Client, task: str, examples: Sequence[Example], folder: Path, apart: Path, advance: Callable[[int], None]
) -> tuple[dict[str, str], list[Example]]:
    """Writes the images below the two folders. Returns as `save`."""
    folders: dict[str, str] = {}
    taken: dict[str | None, set[str]] = {None: set()}
    lost: list[Example] = []
    for example in examples:
        try:
            image = client.example_image(task, example.id)
        except ImageNotKept:
            lost.append(example)
        else:
            for label in example.classes or (None,):
                if label is not None and label not in folders:
                    folders[label] = _free(safe(label), "", {_alike(name) for name in folders.values()})
                    (folder / folders[label]).mkdir()
                    taken[label] = set()
                # The suffix says the image's format, which the file's own suffix may not.
                stem = PurePath(example.file_name or example.id).stem
                name = _free(safe(stem), _SUFFIXES.get(example.media_type, ""), taken[label])
                taken[label].add(_alike(name))
                (apart if label is None else folder / folders[label]).joinpath(name).write_bytes(image)
        advance(1)
    return folders, lost


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    """A name that is not taken, not even in other case or Unicode form."""
    number = 1
    while _alike(name := f"{stem}{'' if number == 1 else f' ({number})'}{suffix}") in taken:
        number += 1
    return name


def safe(text: str) -> str:
    """The text as a name that every file system takes."""
    name = "".join("_" if character in _FORBIDDEN or unicodedata.category(character) == "Cc" else character for character in text)
    name = re.sub(r"^\.+|[. ]+$", lambda match: "_" * len(match[0]), name) or "_"
    name = f"_{name}" if _RESERVED.match(name) else name
    return name.encode()[:_LONGEST].decode(errors="ignore")


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
