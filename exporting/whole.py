"""A folder that is written completely or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Yields a path beside `folder`, with the same ending. What is written there becomes `folder`; after an error it vanishes.

    Raises:
        OSError: `folder` exists, or cannot be made.
    """
    if folder.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
    temporary = folder.with_name(f".{os.getpid()}.{folder.name}")
    try:
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
