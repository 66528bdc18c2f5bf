"""Pieces of work whose results are kept one by one, so that an experiment of many goes on where it was stopped."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.laboratory.record import Folder
from training.writing import replace_text

FOR_ALL = "for everything; after these, the same command goes on"
"""What `--minutes` are of."""

Key = tuple[str, ...]


class TimeOver(Exception):
    """The minutes of this start are over; another start goes on."""


class Cells:
    """The results in a folder, a line each in cells.jsonl.

    Args:
        minutes: after so many, no further piece of work begins.

    Raises:
        OtherSettings: the folder holds an experiment with other settings.
    """

    def __init__(self, folder: Path, protocol: dict[str, str | int | float], minutes: float) -> None:
        Folder(folder, protocol)
        self._file = folder / "cells.jsonl"
        self._ends = time.monotonic() + 60.0 * minutes
        text = self._file.read_text() if self._file.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a full disk or a kill may have cut the last line
        replace_text(self._file, whole)
        cells = map(json.loads, whole.splitlines())
        self._known: dict[Key, list[float]] = {tuple(cell["key"]): cell["values"] for cell in cells}

    def get(self, key: Key, work: Callable[[], Sequence[float]]) -> list[float]:
        """Returns the result of a piece of work, from the file if it is there.

        Raises:
            TimeOver: it is not, and the minutes are over.
        """
        if key not in self._known:
            if time.monotonic() > self._ends:
                raise TimeOver
            self._known[key] = list(work())
            with self._file.open("a") as file:
                file.write(json.dumps({"key": key, "values": self._known[key]}) + "\n")
        return self._known[key]
