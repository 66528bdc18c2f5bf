"""Colour profiles that are unlike sRGB, for tests."""

import struct

from PIL import ImageCms

SRGB = ImageCms.createProfile("sRGB")


def wide_gamut() -> bytes:
    """A profile of RGB whose red and green are exchanged: what it does cannot be missed."""
    data = bytearray(ImageCms.ImageCmsProfile(SRGB).tobytes())
    red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


def grey_profile() -> bytes:
    """sRGB's white and curve as a profile of grey, which LittleCMS cannot be asked to make."""
    rgb = ImageCms.ImageCmsProfile(SRGB).tobytes()
    tags = {rgb[at : at + 4]: struct.unpack_from(">II", rgb, at + 4) for at in range(132, 132 + 12 * rgb[131], 12)}
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 256 * 3) + bytes(2)  # a gamma of 3
    white = rgb[tags[b"wtpt"][0] :][: tags[b"wtpt"][1]]
    parts = [(b"wtpt", white), (b"kTRC", curve)]
    at, table, body = 132 + 12 * len(parts), b"", b""
    for name, part in parts:
        table += struct.pack(">4sII", name, at + len(body), len(part))
        body += part
    head = bytearray(rgb[:128])
    head[16:20] = b"GRAY"
    head[:4] = struct.pack(">I", at + len(body))
    return bytes(head) + struct.pack(">I", len(parts)) + table + body
