"""How far is `headstart score` from the raw engine? Images in files beside images that are decoded already.

    python -m benchmarks.score photographs.zip --json score.json

The images are cut into as many pieces as there are rounds. In each round three ways take turns, on a piece each: the raw engine
embeds pixels in the batches that scoring has, with nothing to decode. The same images are read and decoded on every core, with
no engine. And they are scored by one task, from files to Parquet. On a CPU the engine and the decoder share the cores. So no way
of scoring is faster than both one after another (`both`, from their two rates).

With `--apart` the engine has one core to itself, and all else has another. Then decoding takes nothing from the engine, as on a
machine with a GPU or with many cores, and the raw engine's rate is the bound. On a machine that others use, the share of the time
in which the engine was at work says more than the rates. It is taken from its first batch to its last.

What a million images take is told by arithmetic from these. On a machine that others use, `--processor-time` counts what each
way takes of the processor instead of the clock's time. Then a million images have that time, shared by the cores.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.engine import raw_session
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import Rates
from models.answers.classifier import Classifier
from models.bundle import DEFAULT_BUNDLE, SHIPPED, find_bundles, open_bundle
from models.engine import embed_all, open_engine
from models.heads.fitting import fit_head
from models.images.preprocess import ImageError, Pixels, load_image
from models.novelty.support_index import SupportIndex
from models.processor import available_cores
from scoring.decode import LIMITS
from scoring.embed import Backbone, batch_of, embed
from scoring.run import Scoring, score
from scoring.sources import open_source

Clock = Callable[[], float]

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
_ENGINE, _OTHERS = _CORES[0], _CORES[-1]

_WAYS, _SHOTS = 5, 5
_RAW, _DECODING, _SCORING, _BOTH = "raw engine", "decoding", "score", "both"


def main() -> None:
    parser = benchmark_parser("score", __doc__, rounds=10)
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="as of `headstart score`")
    parser.add_argument("--images", type=int, default=20_000, help="images to score in all (default %(default)s)")
    parser.add_argument(
        "--processor-time", action="store_true", help="count this process's own time, on a machine that others use"
    )
    parser.add_argument("--apart", action="store_true", help="one core for the engine, and another for all else")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="backbone (default %(default)s)")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    if arguments.apart:
        _keep_to(_ENGINE)

    bundle = open_bundle(find_bundles(SHIPPED)[arguments.bundle])
    backbone = Backbone(bundle, open_engine(bundle, "onnx"))
    at_work: list[float] | None = [] if arguments.apart else None
    with tempfile.TemporaryDirectory() as folder:
        pieces = copied(arguments.sources, arguments.images, arguments.rounds, Path(folder))
        rates, size = _raced(backbone, pieces, clock, at_work)
        images = sum(len([*piece.iterdir()]) for piece in pieces)
    _print(arguments.bundle, images, rates, size)
    if at_work:
        print(f"the engine was at work for {median(at_work):.3f} ({min(at_work):.3f}, {max(at_work):.3f}) of the time")
    to_both, to_raw = rates.ratio(_SCORING, _BOTH), rates.ratio(_SCORING, _RAW)
    document = {
        "bundle": arguments.bundle,
        "images": images,
        "rates": rates.rounds,
        "of_raw": asdict(to_raw),
        "of_both": asdict(to_both),
        "at_work": at_work,
    }
    write_json(arguments.json, document | {"bytes_a_row": size})


def _raced(backbone: Backbone, pieces: Sequence[Path], clock: Clock, at_work: list[float] | None) -> tuple[Rates, float]:
    """Returns the rates, and the result's bytes for each image."""
    rates: dict[str, list[float]] = {name: [] for name in (_RAW, _DECODING, _SCORING, _BOTH)}
    task = task_of(backbone, [*pieces[0].iterdir()])
    for piece in pieces:
        raw, pixels = _embedded(backbone, piece, clock)
        scored, size = _scored(piece, task, clock, at_work)
        rates[_RAW].append(raw)
        rates[_DECODING].append(pixels)
        rates[_SCORING].append(scored)
        rates[_BOTH].append(1 / (1 / raw + 1 / pixels))
    return Rates(rates), size


def copied(sources: Sequence[str], images: int, rounds: int, folder: Path) -> list[Path]:
    """Copies the first images of the sources to a folder for each round. Where there are too few, they are copied again."""
    opened = [open_source(each) for each in sources]
    names = [(source, name) for source in opened for name in islice(source.names(), images)]
    each = images // rounds
    pieces = [folder / str(number) for number in range(rounds)]
    for number, piece in enumerate(pieces):
        piece.mkdir()
        for at in range(number * each, (number + 1) * each):
            source, name = names[at % len(names)]
            (piece / f"{at}{Path(name).suffix}").write_bytes(source.read(name, LIMITS.max_bytes))
    return pieces


def task_of(backbone: Backbone, images: Sequence[Path]) -> Classifier:
    """Makes a task of a few images. What it answers does not matter to its time."""
    pixels = [load_image(file.read_bytes(), backbone.spec) for file in images[: _WAYS * _SHOTS]]
    embeddings = embed_all(backbone.engine, np.stack(pixels))
    classes = np.arange(len(pixels)) % _WAYS
    options = backbone.bundle.manifest.head.options()
    head = fit_head(embeddings, [str(each) for each in classes], backbone.engine.space, options)
    return Classifier("task", "task", 1, head, SupportIndex.of(embeddings, classes, backbone.background))


def _embedded(backbone: Backbone, piece: Path, clock: Clock) -> tuple[float, float]:
    """Returns images a second of the raw engine, and of reading and decoding."""

    def decoded(file: Path) -> Pixels | None:
        try:
            return load_image(file.read_bytes(), backbone.spec, LIMITS)
        except ImageError:
            return None

    files = [*piece.iterdir()]
    size = batch_of(backbone)
    batch = np.stack([pixels for file in files[:size] if (pixels := decoded(file)) is not None])
    started = clock()
    embedded = raw_session(backbone.engine, batch, backbone.engine.parallel)(len(files))
    raw = embedded / (clock() - started)
    started = clock()
    with ThreadPoolExecutor(available_cores()) as pool:
        for _ in pool.map(decoded, files):
            pass
    return raw, len(files) / (clock() - started)


def _scored(piece: Path, task: Classifier, clock: Clock, at_work: list[float] | None) -> tuple[float, float]:
    """Returns images a second of scoring, from when the engine is open to the end, and the result's bytes for each image.

    Args:
        at_work: gets the engine's share of the time; None where it has no core to itself.
    """
    began: list[float] = []

    def tell(_done: int, _all: int) -> None:
        if at_work is not None and not began:
            _keep_to(_OTHERS)
        began.append(clock())

    out = piece.with_suffix(".parquet")
    with nullcontext() if at_work is None else _apart(at_work):
        images = score(Scoring([str(piece)], [task], out, 5, None, None), tell)
    rate = images / (clock() - began[0])
    if at_work is not None:
        _keep_to(_ENGINE)
    return rate, out.stat().st_size / images


@contextmanager
def _apart(at_work: list[float]) -> Iterator[None]:
    """Pins the threads of a run, and notes for how much of the time the engine's thread was at work."""
    spans: list[tuple[float, float]] = []

    def timed(*given: Any) -> Any:
        started = time.perf_counter()
        embedded = embed(*given)
        spans.append((started, time.perf_counter()))
        return embedded

    def pinned(threads: int, name: str) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(threads, name, _keep_to, (_ENGINE if name == "embed" else _OTHERS,))

    with patch("scoring.run.embed", timed), patch("scoring.run.ThreadPoolExecutor", pinned):
        yield
    at_work.append(sum(ended - started for started, ended in spans) / (spans[-1][1] - spans[0][0]))


def _keep_to(core: int) -> None:
    """Has this thread, and those that it starts, run on one core."""
    os.sched_setaffinity(0, {core})


def _print(bundle: str, images: int, rates: Rates, size: float) -> None:
    print(f"{bundle}, {images} images; images per second by the clock asked for, and the share of the raw engine's and of both")
    for name in rates.rounds:
        print(f"{name:<12}{rates.median(name):>8.0f}  {rates.ratio(name, _RAW)}  {rates.ratio(name, _BOTH)}")
    hours = 1e6 / rates.median(_SCORING) / 3600
    print(f"a million images: {hours:.2f} hours, and a result of {size:.0f} MB")


if __name__ == "__main__":
    main()
