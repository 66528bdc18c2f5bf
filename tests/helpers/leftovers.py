"""Whether bytes are in any file of a folder or in its database, for tests of forgetting."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.helpers.databases import contents_of

_LENGTH = 24
_STRIDE = 16
_COMMON = 64  # bytes that many images or embeddings may begin or end with alike


def found_in(folder: Path, values: Iterable[bytes]) -> int:
    """How many of the values have left 39 bytes or more in a row in some file of the folder, or in its database.

    Of so many bytes in a row, 24 begin at a multiple of 16. So those of the files are looked up among all of a value.
    """
    contents = contents_of(folder)
    left = {content[start : start + _LENGTH] for content in contents for start in range(0, len(content), _STRIDE)}
    return sum(not left.isdisjoint(_pieces(value)) for value in values)


def keys_in(data_dir: Path, keys: Collection[bytes]) -> int:
    """How many of the keys of images are in some file of the folder, or in a row of its database."""
    contents = contents_of(data_dir)
    return sum(any(key in content for content in contents) for key in keys)


def _pieces(value: bytes) -> Iterator[bytes]:
    end = len(value) - _COMMON - _LENGTH
    assert end - _COMMON > _STRIDE, "too short to be found for certain"
    return (value[start : start + _LENGTH] for start in range(_COMMON, end + 1))
