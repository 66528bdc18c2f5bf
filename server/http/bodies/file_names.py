"""Names of examples' files: kept so that people find an image again, and never a reason to refuse it."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

from models.labels import is_one_line

MAX_FILE_NAME = 128
"""Characters, as of a label."""


def clean_file_name(raw: str | None, *, folders: bool = False) -> str | None:
    """Returns the name as it is kept, composed (NFC); None if nothing is left of it.

    A character that would not print on one line becomes U+FFFD, and a long name keeps its end, which tells more.

    Args:
        folders: keeps those of a relative path. Others tell of the sender's machine, and those in forms are not to be trusted
            (RFC 7578, section 4.2).
    """
    path = PureWindowsPath(raw or "")  # takes both separators, and drives
    kept = [part for part in path.parts if part.strip()]
    if not folders or path.drive or path.root or ".." in kept:
        kept = kept[-1:] if path.name else []
    name = unicodedata.normalize("NFC", str(PurePosixPath(*kept))).strip() if kept else ""
    name = "".join(character if is_one_line(character) else "\N{REPLACEMENT CHARACTER}" for character in name)
    if len(name) > MAX_FILE_NAME:
        name = "…" + name[1 - MAX_FILE_NAME :]
    return name if name not in {"", ".", ".."} else None
