"""The orientation of a photograph."""

import re
import struct

# EXIF's formats of a single number, by code, as Pillow reads them.
_FORMATS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 13: "I"}
_ORIENTATION = 0x0112
_MAX_XMP_BYTES = 1_000_000  # Nothing else runs while a regular expression is at work.
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Returns the orientation from EXIF, or else from XMP, 1 to 8. Returns 1 where it is absent or damaged: the pixels do not
    show it.

    EXIF is a TIFF: byte order, the offset of the first directory, and there a count and entries of 12 bytes.
    """
    found = _of_exif(exif)
    if found is None:
        match = _IN_XMP.search(xmp, 0, _MAX_XMP_BYTES)
        found = int(match[1]) if match else 1
    return int(found) if found in range(1, 9) else 1


def _of_exif(exif: bytes) -> float | None:
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    found: float | None = None
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, entry)
            if tag == _ORIENTATION and values and kind in _FORMATS:
                form = order + _FORMATS[kind]
                elsewhere = values * struct.calcsize(form) > 4  # the first of several counts, wherever they are
                at = struct.unpack_from(f"{order}I", tiff, entry + 8)[0] if elsewhere else entry + 8
                (found,) = struct.unpack_from(form, tiff, at)
    except struct.error:
        pass
    return found
