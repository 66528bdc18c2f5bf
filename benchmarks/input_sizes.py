"""What does a larger input cost, and what is it worth? Images per second and accuracy by size, way of resizing and number
format.

    python -m benchmarks.input_sizes --data DATA --bundle lite0-128@1 lite0-160@1 lite0-192@1 lite0-224@1 --bundles-dir bundles

One network is imported at several sizes. The mean accuracy is that of 5-way episodes of validation classes, so that a size can
be chosen by it. It is over the photographs that have such classes; differences are paired, from the first line's. Speed is the
engine's alone, on images already decoded. All lines and the bundle of 32 pixels take turns in one run.

`cover`, which serves, scales the shorter side to fit and crops the centre. `squash` scales each side by itself and `pad` adds
mid-grey bars. For these two the photographs are made square beforehand, at full resolution.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.accuracy.domain_data import DOMAINS, Domain, Embedder, opener
from benchmarks.accuracy.domain_scores import Cell, Figures, Protocol, figures, measure
from benchmarks.engine import raw_session
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import Ratio, race
from models.bundle import PAPER_BUNDLE
from models.engine import EngineKind
from training.data.class_split import Part
from training.evaluation.episodes import SHOTS

_ENGINES: tuple[EngineKind, ...] = ("onnx", "onnx-int8")
_COVER = "cover"


@dataclass(frozen=True)
class Line:
    """A bundle on an engine, its images resized in one way; `ratio` is its speed beside the 32-pixel bundle's."""

    bundle: str
    engine: EngineKind
    resize: str
    pixels: int
    rate: float
    ratio: Ratio
    by_shots: dict[int, Figures]


def main(argv: Sequence[str] | None = None) -> None:
    parser = benchmark_parser("input_sizes", __doc__, rounds=5, seconds=1.0)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos/ and splits/")
    parser.add_argument("--bundle", nargs="+", required=True, metavar="BUNDLE", help="NAME@VERSION or folders")
    parser.add_argument("--bundles-dir", type=Path, metavar="DIR", help="folder of these bundles")
    parser.add_argument("--engine", nargs="+", choices=_ENGINES, default=list(_ENGINES), help="default: both")
    parser.add_argument("--resize", nargs="+", choices=[_COVER, *_SQUARE], default=[_COVER, *_SQUARE], help="default: all")
    parser.add_argument("--part", choices=get_args(Part), default="validation", help="classes (default %(default)s)")
    parser.add_argument("--episodes", type=int, default=1000, help="episodes of each domain (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the episodes (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep embeddings and scores here for the next run")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="receives the curves")
    arguments = parser.parse_args(argv)
    protocol = Protocol((5,), arguments.episodes, arguments.seed, arguments.part)
    domains = [d for d in DOMAINS if d.in_mean and d.read_split(arguments.data).classes(arguments.part)]

    openers = {kind: opener(arguments.data, arguments.bundles_dir, kind, arguments.keep) for kind in arguments.engine}
    embedders = {(name, kind): openers[kind](name) for kind, name in product(arguments.engine, arguments.bundle)}
    beside = opener(arguments.data, None, "auto", arguments.keep)(PAPER_BUNDLE)
    contestants = {str(key): _speed(embedder) for key, embedder in embedders.items()}
    rates = race({**contestants, PAPER_BUNDLE: _speed(beside)}, arguments.rounds, arguments.seconds)
    print(f"{PAPER_BUNDLE} on {beside.engine.kind}: {rates.median(PAPER_BUNDLE):.0f} images/s; {arguments.part} classes")
    print(f"of {', '.join(d.name for d in domains)}; {arguments.episodes} episodes of each, seed {arguments.seed}\n")

    lines: list[Line] = []
    first: list[Cell] = []
    with TemporaryDirectory() as scratch:
        for resize in arguments.resize:
            data = arguments.data if resize == _COVER else made_square(arguments.data, domains, resize, Path(scratch, resize))
            for key, embedder in embedders.items():
                cells = [cell for domain in domains for cell in measure(replace(embedder, data=data), domain, protocol)]
                first = first or cells
                by_shots = {shots: figures(_of(cells, shots), _of(first, shots)) for shots in SHOTS}
                speed = rates.median(str(key)), rates.ratio(str(key), PAPER_BUNDLE)
                manifest = embedder.bundle.manifest
                lines.append(Line(manifest.id, key[1], resize, manifest.input.height, *speed, by_shots))
                print(_written(lines[-1]), flush=True)
    write_json(arguments.json, {"domains": [d.name for d in domains], "lines": [asdict(line) for line in lines]})
    if arguments.picture:
        _draw(lines, arguments.picture)


def _of(cells: Sequence[Cell], shots: int) -> list[Cell]:
    return [cell for cell in cells if cell.shots == shots]


def _speed(embedder: Embedder) -> Callable[[int], int]:
    engine, spec = embedder.engine, embedder.bundle.manifest.input
    pixels = np.random.default_rng(0).integers(0, 256, (8, spec.height, spec.width, 3), dtype=np.uint8)
    return raw_session(engine, pixels, engine.parallel)


def _written(line: Line) -> str:
    accuracies = "".join(
        f"  {100 * found.accuracy:.2f} ({100 * found.difference:+.2f} ± {100 * found.difference_ci95:.2f})"
        for found in line.by_shots.values()
    )
    return f"{line.bundle:<22}{line.pixels:>4} px {line.engine:<10}{line.resize:<7}{line.rate:>6.0f}/s {line.ratio}{accuracies}"


def _squashed(image: Image.Image) -> Image.Image:
    return image.resize((max(image.size), max(image.size)), Image.Resampling.BICUBIC)


def _padded(image: Image.Image) -> Image.Image:
    side = max(image.size)
    padded = Image.new("RGB", (side, side), (128, 128, 128))
    padded.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return padded


_SQUARE: dict[str, Callable[[Image.Image], Image.Image]] = {"squash": _squashed, "pad": _padded}


def made_square(data: Path, domains: Sequence[Domain], resize: str, folder: Path) -> Path:
    """A folder of data like `data` with the photographs of the domains made square, without loss."""
    for domain in domains:
        for source in domain.paths(data):
            target = folder / source.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as made:
                for info in archive.infolist():
                    if not info.is_dir():
                        file = io.BytesIO()
                        _SQUARE[resize](Image.open(io.BytesIO(archive.read(info))).convert("RGB")).save(
                            file, "PNG", compress_level=1
                        )
                        # A date of its own would make the same zip another one in the next run.
                        made.writestr(zipfile.ZipInfo(str(Path(info.filename).with_suffix(".png"))), file.getvalue())
        (folder / domain.split).parent.mkdir(parents=True, exist_ok=True)
        (folder / domain.split).write_bytes((data / domain.split).read_bytes())
    return folder


def _draw(lines: Sequence[Line], file: Path) -> None:
    """Accuracy against speed beside the 32-pixel bundle, a curve over the sizes for each engine and way of resizing."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    curves = list(dict.fromkeys((line.engine, line.resize) for line in lines))
    for axes, shots in zip(figure.subplots(1, len(SHOTS)), SHOTS, strict=True):
        for engine, resize in curves:
            shown = [line for line in lines if (line.engine, line.resize) == (engine, resize)]
            speeds, heights = [line.ratio.median for line in shown], [100 * line.by_shots[shots].accuracy for line in shown]
            axes.plot(speeds, heights, marker="o", markersize=4, label=f"{engine}, {resize}")
            for line, *place in zip(shown, speeds, heights, strict=True):
                axes.annotate(str(line.pixels), place, xytext=(3, 3), textcoords="offset points", fontsize=7)
        axes.set(title=f"5-way {shots}-shot", xlabel="images per second, the 32-pixel bundle's as 1", ylabel="accuracy %")
        axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(curves), fontsize=8)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
