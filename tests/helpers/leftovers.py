"""Whether bytes are in any file of a folder, for tests of forgetting."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

_NEEDLE = 24
_STRIDE = 48
_COMMON = 64  # bytes that many images or embeddings may begin or end with alike


def found_in(folder: Path, values: Iterable[bytes]) -> int:
    """How many of the values have left a piece of 24 bytes or more in some file of the folder, at whatever depth.

    The disk space that is kept for removing is left out: it is large, and nothing is ever written to it.
    """
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".reserve"]
    return sum(any(piece in file for piece in _pieces(value) for file in files) for value in values)


def keys_in(data_dir: Path, keys: Collection[bytes]) -> int:
    """How many of the keys of images are in some file of the database."""
    files = [path.read_bytes() for path in data_dir.glob("headstart.db*") if path.suffix != ".reserve"]
    return sum(any(key in file for file in files) for key in keys)


def _pieces(value: bytes) -> Iterator[bytes]:
    assert len(value) > 2 * _COMMON + _NEEDLE
    return (value[start : start + _NEEDLE] for start in range(_COMMON, len(value) - _COMMON, _STRIDE))
