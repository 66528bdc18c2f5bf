"""The folder of a run that is under way: what is to be done, in which parts, and which of them are done.

The images are listed once. A run that goes on after a kill reads that list, so that no image is lost or scored twice, however
the sources have changed meanwhile. A part is done when its file has its name.
"""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from scoring.errors import ScoringError
from scoring.sources import Source

PART = 1024
"""Images of a part: a kill costs at most the work on a few parts."""

Entry = tuple[int, str]
"""An image: the position of its source, and its name there."""

_PLAN, _LISTING, _LOCK = "plan.json", "images.jsonl", "lock"


def file_of(part: int) -> str:
    """Returns the name of a part's file, in whichever folder."""
    return f"{part:07}.parquet"


class OtherSettings(ScoringError):
    """A folder or a file was made with other settings. The message says which."""


class Busy(ScoringError):
    """Another process works in the folder."""


class Plan:
    """The list of all images, cut into parts.

    Attributes:
        folder: of the list.
        id: of this list. Another list of the same sources has another.
        images: how many there are.
    """

    def __init__(self, folder: Path, id_: str, images: int) -> None:
        self.folder, self.id, self.images = folder, id_, images

    @property
    def sizes(self) -> dict[int, int]:
        """The number of images of each part, by its number."""
        return {start // PART: min(PART, self.images - start) for start in range(0, self.images, PART)}

    def parts(self) -> Iterator[tuple[int, list[Entry]]]:
        """Yields the number and the images of each part. Memory holds one of them."""
        with (self.folder / _LISTING).open(encoding="ascii") as lines:
            entries = ((int(source), str(name)) for source, name in map(json.loads, lines))
            for number in self.sizes:
                yield number, list(islice(entries, PART))


@contextmanager
def opened(folder: Path, settings: Mapping[str, Any], sources: Sequence[Source] | None) -> Iterator[Plan | None]:
    """Keeps a folder for one run, and makes it if it is missing. Yields its plan, which it makes of the sources.

    Args:
        settings: of the run, which must be those that the folder was begun with.
        sources: to be listed; None where the list is elsewhere, and no plan is yielded.

    Raises:
        OtherSettings: the folder was begun with others.
        Busy: another process has it.
        OSError, SourceError: a source cannot be listed, or the folder not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process works in {folder}") from None
        plan = folder / _PLAN
        if not plan.exists():
            images = 0 if sources is None else _list(folder / _LISTING, sources)
            _write(plan, json.dumps({"settings": settings, "id": uuid.uuid4().hex, "images": images}))
        begun = json.loads(plan.read_text())
        refuse_others(begun["settings"], settings, folder)
        yield None if sources is None else Plan(folder, begun["id"], begun["images"])


def refuse_others(before: Mapping[str, Any], now: Mapping[str, Any], where: Path) -> None:
    """Checks that settings are the same.

    Raises:
        OtherSettings: they are not; the message names one that differs.
    """
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            told = f"{name} {_told(before.get(name))}, and now {_told(now.get(name))}"
            raise OtherSettings(f"{where} was begun with {told}; remove it, or name another")


def _told(value: object) -> str:
    return ", ".join(map(_told, value)) if isinstance(value, list) else str(value)


def _list(file: Path, sources: Sequence[Source]) -> int:
    """Writes the list of all images, and returns how many there are."""
    count = 0
    with file.open("w", encoding="ascii") as listing:
        for position, source in enumerate(sources):
            for name in source.names():
                listing.write(json.dumps((position, name)) + "\n")
                count += 1
        listing.flush()
        os.fsync(listing.fileno())
    return count


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    with temporary.open("w") as writing:
        writing.write(text)
        writing.flush()
        os.fsync(writing.fileno())
    temporary.replace(file)
