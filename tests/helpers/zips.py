"""Zips as programs write them whose names `zipfile` cannot write: bytes in any encoding, with a flag or an extra field."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence


def unicode_path(name: str, of: bytes) -> bytes:
    """Info-ZIP's extra field that says what the name `of` is in Unicode."""
    content = struct.pack("<BI", 1, zlib.crc32(of)) + name.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


def zip_of_bytes(members: Sequence[tuple[bytes, bytes]], extras: Sequence[bytes] = (), flagged: bool = False) -> bytes:
    """A zip of (path, content).

    Args:
        extras: the extra field of each.
        flagged: whether it says that the paths are UTF-8.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, (path, content) in enumerate(members):
            info = zipfile.ZipInfo(_placeholder(number, len(path)))
            info.extra = extras[number] if extras else b""
            archive.writestr(info, content)
    data = bytearray(buffer.getvalue())
    for number, (path, _) in enumerate(members):
        placeholder = _placeholder(number, len(path)).encode()
        assert data.count(placeholder) == 2
        data = data.replace(placeholder, path)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(signature)
        while flagged and start >= 0:
            data[start + flags + 1] |= 0x08
            start = data.find(signature, start + 1)
    return bytes(data)


def _placeholder(number: int, length: int) -> str:
    return f"{number:03}~".ljust(length, "~")
