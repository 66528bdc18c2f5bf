"""Files and folders that are written completely or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields a path of the same name. The file or folder that is made there becomes `path`; after an error it vanishes.

    Args:
        replace: lets it take the place of a file.

    Raises:
        OSError: `path` exists, or cannot be made.
    """
    if not replace and path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with _beside(path.parent) as part:
        yield part / path.name
        (part / path.name).replace(path)


@contextmanager
def filled_whole(folder: Path) -> Iterator[Path]:
    """Yields a hidden folder in `folder`. What is written there moves up at the end; after an error it vanishes.

    Raises:
        OSError: `folder` is none, or cannot be written.
    """
    with _beside(folder) as part:
        yield part
        for each in list(part.iterdir()):
            each.rename(folder / each.name)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as part:
        yield Path(part)
