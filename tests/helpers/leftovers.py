"""Whether bytes are in any file of a folder or in its database, for tests of forgetting."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.helpers.databases import contents_of

_NEEDLE = 24
_STRIDE = 48
_COMMON = 64  # bytes that many images or embeddings may begin or end with alike


def found_in(folder: Path, values: Iterable[bytes]) -> int:
    """How many of the values have left a piece of 24 bytes or more in some file of the folder, or in a row of its database."""
    contents = contents_of(folder)
    return sum(any(piece in content for piece in _pieces(value) for content in contents) for value in values)


def keys_in(data_dir: Path, keys: Collection[bytes]) -> int:
    """How many of the keys of images are in some file of the folder, or in a row of its database."""
    contents = contents_of(data_dir)
    return sum(any(key in content for content in contents) for key in keys)


def _pieces(value: bytes) -> Iterator[bytes]:
    assert len(value) > 2 * _COMMON + _NEEDLE
    return (value[start : start + _NEEDLE] for start in range(_COMMON, len(value) - _COMMON, _STRIDE))
