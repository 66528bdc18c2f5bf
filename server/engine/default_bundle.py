"""The bundle that new tasks get. It is the one that was set last. The data directory remembers it, or the
database where several servers share one.

A bundle does not become the default merely because it is the newest.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from models.bundle import DEFAULT_BUNDLE, BundleError
from server.errors import StorageFailed
from server.settings import Settings
from server.store.store import Store

_log = logging.getLogger(__name__)

_FILE = "default-bundle"


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of the bundle that new tasks get.

    Attributes:
        why: the reason for the choice, for the log.
        needed: whether the server refuses to start without it. Otherwise it serves the tasks of other bundles meanwhile.
        is_remembered: whether `remember_default` was called for it.
    """

    id: str
    why: str
    needed: bool
    is_remembered: bool = False


def choose_default(settings: Settings, store: Store) -> Choice:
    """Returns the bundle that new tasks get.

    It is the bundle that the settings name, or else the remembered one. Data directories of earlier releases remember none:
    there it is the bundle of the newest task. Without a task it is the shipped default.

    Raises:
        BundleError: the file with the remembered bundle cannot be read.
        StorageFailed: the database cannot be read.
    """
    if settings.bundle:
        return Choice(settings.bundle, "set at this start", needed=True)
    if remembered := store.choices.default_bundle() if store.choices else remembered_in(settings.data_dir):
        return Choice(remembered, "as last set", needed=False, is_remembered=True)
    if newest := store.active.newest_bundle():
        return Choice(newest, "as the newest task has it", needed=False)
    return Choice(DEFAULT_BUNDLE, "the shipped default", needed=True)


def remember_default(id_: str, settings: Settings, store: Store) -> None:
    """Writes the bundle's id where `choose_default` looks for it.

    Raises:
        StorageFailed: it cannot be written.
    """
    if store.choices is None:
        write_default(id_, settings.data_dir)
    elif store.choices.default_bundle() != id_:
        store.choices.choose_default_bundle(id_)


def write_default(id_: str, data_dir: Path) -> None:
    """Writes the bundle's id into a data directory. Raises StorageFailed if it cannot be written."""
    file = data_dir / _FILE
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        if file.exists() and file.read_bytes() == f"{id_}\n".encode():
            return
        data_dir.mkdir(parents=True, exist_ok=True)
        with temporary.open("w") as writing:
            writing.write(f"{id_}\n")
            writing.flush()
            os.fsync(writing.fileno())
        temporary.replace(file)
    except OSError as error:
        _log.error("%s: %s", file, error.strerror)
        raise StorageFailed("the default cannot be remembered; nothing was changed") from error


def remembered_in(data_dir: Path) -> str | None:
    """Returns the id that a data directory remembers; None if none. Raises BundleError if it cannot be read."""
    file = data_dir / _FILE
    try:
        return file.read_bytes().decode(errors="replace").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{_FILE}: cannot be read: {error.strerror}", data_dir) from error
