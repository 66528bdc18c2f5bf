"""The folder of a search: kept for one process, and for one set of settings."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.writing import replace_text

_SETTINGS, _LOCK = "search.json", "lock"


class SearchError(Exception):
    """A search that cannot begin or go on; the message names the folder or the reason."""


@contextmanager
def kept_for(folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Inside the block no other process searches in the folder, which is made if it is missing.

    Args:
        settings: JSON of everything that a trial's result depends on.

    Raises:
        SearchError: the folder was begun with other settings, or another process works in it.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # It ends with its process, however that ends.
        except BlockingIOError:
            raise SearchError(f"another process searches in {folder}") from None
        file = folder / _SETTINGS
        if file.exists():
            _refuse_others(_flat(json.loads(file.read_text(encoding="utf-8"))), _flat(settings), folder)
        else:
            replace_text(file, json.dumps(settings, indent=1))
        yield


def _refuse_others(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            told = f"{name} {before.get(name)}, and now {now.get(name)}"
            raise SearchError(f"{folder} was begun with {told}; take another --out")


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{"recipe.momentum": 0.9}` for `{"recipe": {"momentum": 0.9}}`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= {f"{name}.{inner}": each for inner, each in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat
