"""The parts of an image file: those that make its pixels, and those that describe it. They are found before any decoder runs.

Parts that make no pixels are kept from the decoder. So a damaged or huge comment, thumbnail or colour profile never costs an
image.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PROFILE_BYTES = 4_000_000  # Larger than any in use; LittleCMS takes time that grows with it.

_MAX_JPEG_SEGMENTS, _MAX_JPEG_TABLES, _MAX_PNG_CHUNKS, _MAX_WEBP_CHUNKS = 10_000, 64, 100_000, 10_000


class Malformed(Exception):
    """The file has more parts than a sound one."""


@dataclass(frozen=True, slots=True)
class Contents:
    """One image file, taken apart.

    Attributes:
        pixels: a file of the same format with the parts that make the pixels.
        exif: a TIFF, perhaps behind `Exif` and two zeros; empty if there is none.
        xmp: empty if there is none.
        profile: an ICC profile; None if there is none here. The decoder may still find one.
        whole: whether decoding holds every pixel in memory, however small the result.
        coded_pixels: the largest picture that the file declares, beside the size that the decoder reports.
        scans: how often a decoder goes over the picture.
    """

    pixels: bytes
    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes | None = None
    whole: bool = True
    coded_pixels: int = 0
    scans: int = 1


def take_jpeg_apart(data: bytes) -> Contents:
    """Takes a JPEG apart. It keeps no application segment or comment except those that say how its colours are coded.

    Raises:
        Malformed: it has no scan, more than 10,000 segments, or more than 64 that make pixels before its first scan.
    """
    kept, exif, xmp, profile = [b"\xff\xd8"], bytearray(), b"", []
    components, progressive = 0, False
    view, segments = memoryview(data), _jpeg_segments(data)
    for marker, start, end in segments:
        if marker == _SCAN:
            break
        body = bytes(view[start + 4 : end])
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif += body[6:] if exif else body
        elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = body
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile.append(body[12:])
        elif marker in _FRAMES and len(body) > 5:
            components, progressive = body[5], marker in _PROGRESSIVE
        if _makes_pixels(marker, body):
            kept.append(data[start:end])
    else:
        raise Malformed
    if len(kept) > _MAX_JPEG_TABLES:
        raise Malformed
    kept.append(data[start:])
    # A picture in several scans is assembled before it is decoded.
    whole = progressive or data[start + 4] < components
    scans = 1 + sum(marker == _SCAN for marker, _, _ in segments) if whole else 1
    return Contents(b"".join(kept), bytes(exif), xmp, _joined(profile), whole, scans=scans)


def _makes_pixels(marker: int, body: bytes) -> bool:
    """Returns whether a segment is about pixels.

    Two kinds of application segment say how colours are coded. They count if they are as long as libjpeg wants.
    """
    if marker == 0xE0:
        return body[:5] == b"JFIF\0" and len(body) >= 14
    if marker == 0xEE:
        return body[:5] == b"Adobe" and len(body) >= 12
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})


_SCAN, _END = 0xDA, 0xD9
# It skips padding, coded data, and the markers without content inside coded data.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_PIECE = 256 * 1024


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of every segment to the end of the image, of a scan without what is coded.

    Raises:
        Malformed: there are more than 10,000.
    """
    at = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        start = _next_marker(data, at)
        if start is None:
            return
        at = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if data[start + 1] == _END or at < start + 4 or at > len(data):
            return
        yield data[start + 1], start, at
    raise Malformed


def _next_marker(data: bytes, at: int) -> int | None:
    """Returns the position of the next marker. It searches piece by piece, since a regular expression blocks all other
    threads.
    """
    for start in range(at, len(data), _PIECE):
        if found := _MARKER.search(data, start, start + _PIECE + 1):
            return found.start()
    return None


def _joined(parts: list[bytes]) -> bytes | None:
    """Returns a profile joined from its numbered parts; None if some are missing."""
    parts.sort()
    return b"".join(part[2:] for part in parts) if parts and parts[0][1] == len(parts) else None


def take_png_apart(data: bytes) -> Contents:
    """Takes a PNG apart. It keeps no ancillary chunk except the one that says which pixels are transparent.

    Raises:
        Malformed: it has more than 100,000 chunks.
    """
    kept, exif, xmp, packed = [data[:8]], b"", b"", b""
    colour_type = data[25] if len(data) > 25 else -1
    at = 8
    for _ in range(_MAX_PNG_CHUNKS):
        if at + 12 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or name == b"IEND":
            break
        if not name[0] & 0x20:
            kept.append(data[at:end])
        elif name in _WANTED and zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end]):
            content = data[at + 8 : end - 4]
            if name == b"tRNS" and _says_transparency(content, colour_type):
                kept.append(data[at:end])
            elif name == b"eXIf":
                exif = content
            elif name == b"iTXt" and content.startswith(b"XML:com.adobe.xmp\0\0"):
                xmp = content
            elif name == b"iCCP":
                packed = content  # Unpacked once, however many there are.
        at = end
    else:
        raise Malformed
    kept.append(data[at:])
    return Contents(b"".join(kept), exif, xmp, _unpacked(packed) if packed else None)


_WANTED = frozenset({b"tRNS", b"eXIf", b"iTXt", b"iCCP"})


def _says_transparency(content: bytes, colour_type: int) -> bool:
    """Returns whether the chunk has the length that the colour type asks for; decoders ignore others."""
    return len(content) == {0: 2, 2: 6}.get(colour_type) or (colour_type == 3 and 1 <= len(content) <= 256)


def _unpacked(content: bytes) -> bytes | None:
    """Returns the profile of an `iCCP` chunk, which holds a name, a zero, the compression method and the compressed profile."""
    packed = content[content.find(b"\0") + 2 :]
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed, MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return None
    return profile if unpacker.eof else None


def take_webp_apart(data: bytes) -> Contents:
    """Takes a WebP apart. It keeps the first frame and drops the parts that are not pixels.

    Decoders would list every frame before they decode one.
    """
    if data[12:16] != b"VP8X":
        return Contents(data)
    kept, found = [], {b"EXIF": b"", b"XMP ": b"", b"ICCP": b""}
    frame, at = False, 12
    for _ in range(_MAX_WEBP_CHUNKS):
        if at + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        if name in _WEBP_PIXELS and not frame:
            kept.append(data[at:end])
            frame = name in _WEBP_FRAMES
        elif name in found:
            found[name] = data[at + 8 : at + 8 + length]
        at = end
    pixels = b"".join(kept)
    head = struct.pack("<4sI4s", b"RIFF", 4 + len(pixels), b"WEBP")
    return Contents(head + pixels, found[b"EXIF"], found[b"XMP "], found[b"ICCP"] or None)


_WEBP_FRAMES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_WEBP_PIXELS = _WEBP_FRAMES | {b"VP8X", b"ANIM", b"ALPH"}


def take_heif_apart(data: bytes) -> Contents:
    """Takes a HEIC or AVIF apart, without its EXIF. Its own properties give the orientation, and the decoder applies them."""
    at, coded = 0, 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if length < 8:  # The last box, or one with a 64-bit length, which no box before the pixels needs.
            break
        if name == b"meta":
            meta = data[at : at + length]
            coded = max((width * height for width, height in _extents(meta)), default=0)
            # Every name has four bytes, so nothing else moves.
            return Contents(data[:at] + meta.replace(b"Exif", b"skip") + data[at + length :], coded_pixels=coded)
        at += length
    return Contents(data)


def _extents(meta: bytes) -> Iterator[tuple[int, int]]:
    """Yields the width and height of every picture and part of a picture that the box describes."""
    at = meta.find(b"ispe")
    while 0 <= at <= len(meta) - 16:
        width, height = struct.unpack_from(">II", meta, at + 8)
        yield width, height
        at = meta.find(b"ispe", at + 4)


def heif_brands(data: bytes) -> set[bytes]:
    """Returns the brands that a file of the HEIF family says it is compatible with; empty for other files."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4]), 1024, len(data))
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}
