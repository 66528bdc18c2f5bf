"""From a source to pixels, by the functions that the server decodes with. Threads suffice: the decoders release Python's lock."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.images.preprocess import ImageError, ImageLimits, Pixels, load_image
from models.manifest import InputSpec
from scoring.sources import Source

LIMITS = ImageLimits()
"""As those of a server that was told no others."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """An image as its backbones want it.

    Attributes:
        path: as it is told.
        size: of the file in bytes; None if it cannot be read.
        pixels: for each backbone, uint8 (H, W, 3), or what is wrong with the image.
    """

    path: str
    size: int | None
    pixels: Sequence[Pixels | ImageError]


def decode(source: Source, name: str, specs: Sequence[InputSpec]) -> Decoded:
    """Reads an image and decodes it for each backbone. What is wrong with the image is in the result.

    Raises:
        OSError, SourceError: the source cannot be read now.
        MemoryError: there is too little memory for the image.
    """
    path = source.path(name).encode(errors="surrogateescape").decode(errors="backslashreplace")
    try:
        data = source.read(name, LIMITS.max_bytes)
    except ImageError as error:
        return Decoded(path, None, [ImageError(error.code, error.detail)] * len(specs))
    return decode_bytes(path, data, specs)


def decode_bytes(path: str, data: bytes, specs: Sequence[InputSpec]) -> Decoded:
    """Decodes an image that is read. What is wrong with it is in the result.

    Raises:
        MemoryError: there is too little memory for the image.
    """
    known: dict[InputSpec, Pixels | ImageError] = {}
    for spec in specs:
        if spec not in known:
            try:
                known[spec] = load_image(data, spec, LIMITS)
            except ImageError as error:
                known[spec] = ImageError(error.code, error.detail)  # The error itself holds the image by its traceback.
    return Decoded(path, len(data), [known[spec] for spec in specs])
