"""What does an image cost before it reaches the network? Our decoding and resizing beside Pillow's plain path and fast
libraries.

    pip install opencv-python-headless 'pyvips[binary]'
    python -m benchmarks.decode --json decode.json

The images are made-up photographs (noise with the spectrum of natural images): JPEGs of about 30 KB, 300 KB and 3 MB, and the
first two as PNG. They are fitted to the input of the bundle that new tasks get. Everything runs on one core, contestants in
turns. The difference is that of the pixels from Pillow's plain path, in levels of 255. It shows how much a faster way would
change the network's input.
"""

import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import cv2
import numpy as np
import pyvips
from PIL import Image, ImageOps

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import Ratio, race, repeat
from models.bundle import DEFAULT_BUNDLE, SHIPPED, find_bundles, open_bundle
from models.images.preprocess import Pixels, load_image
from models.manifest import InputSpec

_PLAIN = "Pillow, plain"
_OURS = "ours"
_FILES = {"30 KB": (480, 360), "300 KB": (1600, 1200), "3 MB": (4032, 3024)}
_BYTES = {"30 KB": 30_000, "300 KB": 300_000, "3 MB": 3_000_000}

Decode = Callable[[bytes, InputSpec], Pixels]


@dataclass(frozen=True)
class Cell:
    """One way for one file.

    Attributes:
        milliseconds: per image, the median over the rounds.
        ratio: how many times as fast as Pillow's plain path.
        difference: mean of the absolute differences of the pixels from it.
    """

    file: str
    way: str
    milliseconds: float
    ratio: Ratio
    difference: float


def main() -> None:
    arguments = benchmark_parser("decode", __doc__).parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    pyvips.cache_set_max(0)
    spec = open_bundle(find_bundles(SHIPPED)[DEFAULT_BUNDLE]).manifest.input
    ways: dict[str, Decode] = {
        _PLAIN: _pillow,
        _OURS: load_image,
        "OpenCV": _opencv,
        "OpenCV, reduced": _opencv_reduced,
        "libvips": _libvips,
    }
    print(f"to {spec.height} x {spec.width}; ms per image, times as fast as Pillow's plain path, mean difference of the pixels")
    cells = []
    for name, data in _files().items():
        expected = _pillow(data, spec).astype(float)
        rates = race({way: repeat(partial(decode, data, spec)) for way, decode in ways.items()}, seconds=0.5)
        for way, decode in ways.items():
            difference = float(np.abs(decode(data, spec) - expected).mean())
            cell = Cell(name, way, 1e3 / rates.median(way), rates.ratio(way, _PLAIN), difference)
            cells.append(cell)
            print(f"{name:<18}{way:<16}{cell.milliseconds:>8.2f}{cell.ratio!s:>22}{difference:>8.2f}", flush=True)
    write_json(arguments.json, [asdict(cell) for cell in cells])


def _pillow(data: bytes, spec: InputSpec) -> Pixels:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    return np.array(ImageOps.fit(image, (spec.width, spec.height), Image.Resampling[spec.interpolation.upper()]))


def _opencv_reduced(data: bytes, spec: InputSpec) -> Pixels:
    """Decoded at a reduced size where that leaves twice what is asked for, as ours."""
    times = min(Image.open(io.BytesIO(data)).size) / (2 * max(spec.height, spec.width))
    flags = (8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2)
    return _opencv(data, spec, next((flag for factor, flag in flags if times >= factor), cv2.IMREAD_COLOR))


def _opencv(data: bytes, spec: InputSpec, flag: int = cv2.IMREAD_COLOR) -> Pixels:
    """Areas are averaged, OpenCV's way to shrink without aliasing."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    assert decoded is not None
    image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    scale = min(height / spec.height, width / spec.width)
    covered = round(scale * spec.height), round(scale * spec.width)
    top, left = (height - covered[0]) // 2, (width - covered[1]) // 2
    crop = image[top : top + covered[0], left : left + covered[1]]
    return np.asarray(cv2.resize(crop, (spec.width, spec.height), interpolation=cv2.INTER_AREA))


def _libvips(data: bytes, spec: InputSpec) -> Pixels:
    """Its thumbnails decode at a reduced size too."""
    thumbnail = pyvips.Image.thumbnail_buffer(data, spec.width, height=spec.height, crop="centre")
    return np.asarray(thumbnail.numpy())


def _files() -> dict[str, bytes]:
    files = {}
    for name, size in _FILES.items():
        picture = _photograph(*size)
        files[f"JPEG, {name}"] = _jpeg(picture, _BYTES[name])
        if name != "3 MB":
            files[f"PNG, {size[0]} x {size[1]}"] = _encoded(picture, "PNG")
    return files


def _photograph(width: int, height: int) -> Image.Image:
    """Returns noise whose amplitude falls with the frequency, as in natural images (Field, 1987)."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    spectrum = np.fft.rfft2(rng.normal(size=(3, height, width))) / np.maximum(frequency, 1 / max(width, height))
    planes = np.fft.irfft2(spectrum, (height, width)).transpose(1, 2, 0)
    scaled = 128 + 45 * (planes - planes.mean()) / planes.std()
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


def _jpeg(picture: Image.Image, size: int) -> bytes:
    """Encodes at the quality that comes nearest to so many bytes."""
    files = (_encoded(picture, "JPEG", quality=quality) for quality in (98, 95, 92, 88, 84, 80, 75, 70, 60, 50, 40, 30, 20))
    return min(files, key=lambda file: abs(len(file) - size))


def _encoded(picture: Image.Image, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


if __name__ == "__main__":
    main()
