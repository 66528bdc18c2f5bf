"""The file names by which the example of a sample is found again."""

import re
from pathlib import Path

_ID = re.compile(r"-([0-9a-f]{24})(?:\.[^.]*)?$")


class SampleFile:
    """The image of a sample, read when it is sent, with a file name that ends in the sample's id.

    The server keeps the end of a long name, so the id stays.

    Args:
        path: of the image.
        sample: the sample's id.
    """

    def __init__(self, path: str, sample: str) -> None:
        self._path = Path(path)
        self.name = f"{self._path.stem}-{sample}{self._path.suffix}"

    def read(self) -> bytes:
        """Returns the bytes of the file. Raises OSError if it cannot be read."""
        return self._path.read_bytes()


def sample_of(file_name: str | None) -> str | None:
    """The id of the sample that an example comes from; None if its file name has none."""
    found = _ID.search(file_name or "")
    return found and found[1]
