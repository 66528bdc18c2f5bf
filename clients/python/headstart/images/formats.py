"""Which images the server reads, and how large ones are made smaller before they are sent."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

READABLE = "JPEG, PNG, WebP, HEIC and AVIF"

# A smaller file is not worth the while.
_LEAST_BYTES = 100_000
_QUALITY = 95
_LEAST_SIDE = 512  # for backbones that look closer, which the task may be moved to

FURTHER = ((85, _LEAST_SIDE), (80, 0))
"""What `shrink_further` does in turn where many images have to fit into one request: JPEG quality, least short side in pixels."""

_FAMILY = frozenset({b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})


def is_readable(head: bytes) -> bool:
    """Whether a file that begins so is of a format that the server reads."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return not _brands(head).isdisjoint(_FAMILY)


def is_worth_shrinking(content: bytes) -> bool:
    """Whether `shrink` may make it smaller."""
    return len(content) >= _LEAST_BYTES


def shrink(content: bytes, side: int) -> bytes:
    """The image with a short side of twice `side` pixels, or 512 if that is more, upright, as a JPEG with its colour profile.

    That is what the server would make of it before it looks closer. What cannot be made smaller so comes back as it is: without
    Pillow (and pillow-heif for HEIC), small and transparent images, and what cannot be read, of which the server says why.
    """
    if not is_worth_shrinking(content):
        return content
    return _smallest(content, max(2 * side, _LEAST_SIDE), _QUALITY, whole=False)


def shrink_further(content: bytes, side: int, quality: int, least: int) -> bytes:
    """`shrink` to a short side of twice `side`, or `least` if that is more, at a lower quality: of images of any size, and of
    transparent ones on white, as the server sees them."""
    return _smallest(content, max(2 * side, least), quality, whole=True)


def _smallest(content: bytes, short: int, quality: int, *, whole: bool) -> bytes:
    try:
        smaller = _smaller(content, short, quality, whole=whole)
    except Exception:  # Decoders of damaged files may raise anything.
        return content
    return smaller if smaller and len(smaller) < len(content) else content


def _smaller(content: bytes, short: int, quality: int, *, whole: bool) -> bytes | None:
    """As a JPEG; None where that cannot be, or would not change its size in pixels and `whole` does not ask for it."""
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

    Image.init()  # or some formats would not be known yet
    if b"avif" not in _brands(content) and not _brands(content).isdisjoint(_FAMILY):
        from pillow_heif import HeifImageFile

        return HeifImageFile(io.BytesIO(content))  # type: ignore[no-untyped-call]
    return Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP", "AVIF"))


def _brands(head: bytes) -> set[bytes]:
    """What a file of the HEIF family says that it is compatible with; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4]), 1024, len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
