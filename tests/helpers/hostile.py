"""Image files that cost much more than they should, for tests: few bytes, or many that are no pixels."""

import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.helpers.images import animated, encode, noise, png_chunk, raw_png

SCAN = b"\xff\xda"


def scans(width: int, height: int, more: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes `more` times again, with next to nothing in it."""
    data = encode(Image.new("RGB", (width, height), (10, 200, 30)), "JPEG", progressive=True)
    at = data.rindex(SCAN)
    empty = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4])] + b"\0\0"
    return data[:-2] + (between + empty) * more + data[-2:]


def separate_scans(width: int, height: int, more: int) -> bytes:
    """A sequential JPEG that says that it has three components, whose first one comes in `more` scans."""
    data = encode(Image.new("RGB", (width, height), (10, 200, 30)), "JPEG")
    at = data.index(SCAN)
    first = SCAN + b"\0\x08\x01\x01\x00\x00\x3f\x00" + b"\0\0"
    return data[:at] + first * more + data[-2:]


def flooded(what: bytes, times: int) -> bytes:
    """A small JPEG with that after its first marker."""
    data = encode(noise(64, 64), "JPEG")
    return data[:2] + what * times + data[2:]


def many_profiles(count: int) -> bytes:
    """A small PNG with as many profiles, 4 KB each, of 4 MB unpacked."""
    data = encode(noise(64, 64))
    return data[:33] + png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(4_000_000), 9)) * count + data[33:]


def many_frames(count: int) -> bytes:
    """An animated WebP of 16 x 16 pixels."""
    data = animated([noise(16, 16, seed=seed) for seed in range(2)], "WEBP")
    at = data.index(b"ANMF")
    end = at + 8 + struct.unpack_from("<I", data, at + 4)[0]
    body = data[8:end] + data[at:end] * (count - 1)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def narrow(height: int) -> bytes:
    """A PNG a pixel wide."""
    return raw_png(1, height, 8, 0, bytes(2 * height))


COMMENT = b"\xff\xfe\0\x02"
EMPTY_TABLE = b"\xff\xdb" + struct.pack(">H", 2 + 65 * 1008) + (b"\0" + b"\1" * 64) * 1008
FLOODS: dict[str, Callable[[], bytes]] = {
    "9.6 MB of comments": lambda: flooded(COMMENT, 2_400_000),
    "28 MB of padding": lambda: flooded(b"\xff", 28_000_000),
    "28 MB of nothing": lambda: flooded(b"\xff\0", 14_000_000),
    "28 MB of markers without content": lambda: flooded(b"\xff\x01", 14_000_000),
    "a segment of no length, and 28 MB": lambda: flooded(b"\xff\xfe\0\0" + b"\xff\0" * 14_000_000, 1),
    "15 MB of tables": lambda: flooded(EMPTY_TABLE, 230),
    "20 MB of zeros": lambda: b"\xff\xd8\xff" + bytes(20_000_000),
    "comments between scans": lambda: scans(64, 64, 1, COMMENT * 2_000_000),
    "profiles": lambda: many_profiles(5000),
    "frames": lambda: many_frames(25_000),
}
