"""The image formats that the server reads, and how large images are made smaller before they are sent."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

READABLE = "JPEG, PNG, WebP, HEIC and AVIF"

_LEAST_BYTES = 100_000  # A smaller file is not worth the time.
_QUALITY = 95
_LEAST_SIDE = 512  # pixels: the task may be moved to a backbone with a larger input

FURTHER = ((85, _LEAST_SIDE), (80, 0))
"""Steps of `shrink_further`, taken until all images fit into one request: JPEG quality, least short side in pixels."""

_FAMILY = frozenset({b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})


def is_readable(head: bytes) -> bool:
    """True if a file that begins with these bytes is of a format that the server reads."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return not _brands(head).isdisjoint(_FAMILY)


def suffix(content: bytes) -> str:
    """The end of a file's name for an image of one of these formats; empty for other content."""
    starts = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}
    if not is_readable(content[:1024]):
        return ""
    return next(
        (end for start, end in starts.items() if content.startswith(start)), ".avif" if b"avif" in _brands(content) else ".heic"
    )


def is_worth_shrinking(content: bytes) -> bool:
    """True if a file is large enough for `shrink` to be worth its time."""
    return len(content) >= _LEAST_BYTES


def shrink(content: bytes, side: int) -> bytes:
    """The image with a short side of twice `side` pixels, or 512 if that is more, upright, as a JPEG with its colour profile.

    The server shrinks images likewise before its backbone sees them. Some files come back as they are: small and transparent
    images, files that cannot be read (the server says why), and all files where Pillow is missing (for HEIC, pillow-heif).
    """
    return _smallest(content, max(2 * side, _LEAST_SIDE), _QUALITY, whole=False)


def shrink_further(content: bytes, side: int, quality: int, least: int) -> bytes:
    """`shrink` at a lower quality, to a short side of twice `side`, or `least` if that is more.

    It takes images of any size, and puts transparent ones on white, as the server does.
    """
    return _smallest(content, max(2 * side, least), quality, whole=True)


def _smallest(content: bytes, short: int, quality: int, *, whole: bool) -> bytes:
    try:
        smaller = _smaller(content, short, quality, whole=whole)
    except Exception:  # Decoders of damaged files may raise anything.
        return content
    return smaller if smaller and len(smaller) < len(content) else content


def _smaller(content: bytes, short: int, quality: int, *, whole: bool) -> bytes | None:
    """The image as a JPEG. None if it cannot be one, or if it has few enough pixels already and `whole` is false."""
    from PIL import ImageOps

    image = _opened(content)
    if min(image.size) <= short and not whole:
        return None
    image.draft(None, (short, short))
    if whole and (image.mode == "P" or image.has_transparency_data):
        image = _on_white(image)
    if image.mode not in {"RGB", "L"} or image.has_transparency_data:
        return None
    profile = image.info.get("icc_profile")
    scale = min(1.0, short / min(image.size))
    small = image.resize((round(scale * image.width), round(scale * image.height)), reducing_gap=None)
    file = io.BytesIO()
    upright = ImageOps.exif_transpose(small)
    upright.save(file, "JPEG", quality=quality, icc_profile=profile)
    return file.getvalue()


def _on_white(image: "Image") -> "Image":
    from PIL import Image

    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _opened(content: bytes) -> "Image":
    from PIL import Image

    Image.init()  # registers the formats, which Pillow otherwise does late
    if b"avif" not in _brands(content) and not _brands(content).isdisjoint(_FAMILY):
        from pillow_heif import HeifImageFile

        return HeifImageFile(io.BytesIO(content))  # type: ignore[no-untyped-call]
    return Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP", "AVIF"))


def _brands(head: bytes) -> set[bytes]:
    """The brands of a file of the HEIF family (ISO/IEC 14496-12, `ftyp`); empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4]), 1024, len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
