"""Names of the members of a zip, whichever program wrote it.

A name is UTF-8 where its flag says so (APPNOTE 4.4.4, bit 11), or else where Info-ZIP's field for Unicode paths does (0x7075,
APPNOTE 4.6.9). Without both, the encoding is unknown. macOS writes UTF-8, and the standard says code page 437 (APPNOTE D.1), but
programs write the code page of their system. A folder names a class, so it is read as code page 437 only if that gives a word.
Any other folder is refused by name, since two such folders might look the same.
"""

import struct
import unicodedata
import zlib
from itertools import pairwise
from pathlib import PurePosixPath
from zipfile import ZipInfo

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_DOUBLE_BYTE = ("cp932", "gbk", "big5", "cp949")


def member_path(info: ZipInfo) -> PurePosixPath:
    """Returns the path of a member in Unicode's composed form, `/` between its parts.

    Raises:
        ValueError: the name of a folder in it cannot be read; the message says which.
    """
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_FLAG else "cp437")
    if info.flag_bits & _UTF8_FLAG:
        name = info.orig_filename
    elif (told := _unicode_path(info.extra, raw)) is not None:
        name = told
    else:
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            name = raw.decode("cp437")
            folders = name.replace("\\", "/").split("/")[:-1]
            if not all(map(_is_word, folders)):
                raise ValueError(undecodable(raw)) from None
    return PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/")))


def undecodable(raw: bytes) -> str:
    """Returns the message for a name that cannot be read."""
    written = raw.decode("ascii", errors="backslashreplace")
    return f"{written[:200]!r} is called in an encoding that the archive does not tell; make it with names in UTF-8"


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Returns the name in Info-ZIP's field, or None if it belongs to an older name: programs that do not know the field
    rename without it.
    """
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1 and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            try:
                return field[5:].decode()
            except UnicodeDecodeError:
                return None
    return None


def _is_word(text: str) -> bool:
    """Returns whether a name read as code page 437 is plausible, and is no other code page's name.

    Read as code page 437, other alphabets turn into signs and box drawings. Encodings of two bytes a character may turn into
    letters, half of them accented, or with capitals behind small letters.
    """
    accented = [character for character in text if not character.isascii()]
    if not all(unicodedata.name(character, "").startswith("LATIN ") for character in accented):
        return False
    if any(a.islower() and b.isupper() and not (a + b).isascii() for a, b in pairwise(text)):
        return False
    # A word of two-byte characters begins with an accented letter, and has at least one in every pair.
    few = 2 * len(accented) - text[:1].isascii() < sum(map(str.isalpha, text))
    return few or not _is_double_byte(text.encode("cp437"))


def _is_double_byte(raw: bytes) -> bool:
    for encoding in _DOUBLE_BYTE:
        try:
            raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return True
    return False
