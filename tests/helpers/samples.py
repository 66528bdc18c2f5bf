"""The photographs that the repository has for demonstrations, for tests."""

import io

from PIL import Image, ImageOps

from benchmarks.server_process import ROOT

Labelled = list[tuple[str, bytes]]

SAMPLES = ROOT / "clients" / "samples"
_SIDE = 32  # what the bundle looks at that tests use


def read_samples(part: str) -> list[tuple[str, bytes]]:
    """The photographs of a part, by class."""
    return [(path.parent.name, path.read_bytes()) for path in sorted((SAMPLES / part).glob("*/*.jpg"))]


def shrunk(photograph: bytes) -> Image.Image:
    """The largest square in the middle of a photograph, at the size that the tests' bundle looks at."""
    with Image.open(io.BytesIO(photograph)) as image:
        return ImageOps.fit(image, (_SIDE, _SIDE), Image.Resampling.BICUBIC)


def part_of(photograph: bytes) -> Image.Image:
    """The upper left of a photograph's middle, mirrored: a view of its own, which is no duplicate of the whole."""
    with Image.open(io.BytesIO(photograph)) as image:
        view = ImageOps.fit(image, (_SIDE, _SIDE), Image.Resampling.BICUBIC, bleed=0.2, centering=(0, 0))
        return ImageOps.mirror(view)
