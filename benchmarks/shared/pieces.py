"""Files in pieces, for ways home that take no large file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

PIECE = 16_000_000  # bytes


def write_pieces(file: Path, folder: Path, name: str, size: int = PIECE) -> list[str]:
    """Writes a file in pieces `NAME.000`, `NAME.001`, ….

    Returns:
        The sha256 of each piece, which `join_pieces` takes.
    """
    digests: list[str] = []
    with file.open("rb") as source:
        while piece := source.read(size):
            (folder / f"{name}.{len(digests):03}").write_bytes(piece)
            digests.append(hashlib.sha256(piece).hexdigest())
    return digests


def join_pieces(folder: Path, name: str, digests: Sequence[str], target: Path) -> bool:
    """Puts a file together again.

    Returns:
        False, without touching the file, if a piece is missing or is another one.
    """
    try:
        pieces = [(folder / f"{name}.{number:03}").read_bytes() for number in range(len(digests))]
    except OSError:
        return False
    if [hashlib.sha256(piece).hexdigest() for piece in pieces] != list(digests):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"".join(pieces))
    return True
