"""`evaluate`: accuracy of a bundle over few-shot episodes, and the classes that it confuses most."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from models.bundle import Bundle, open_bundle
from models.engine import EngineKind, embed_all, open_engine
from models.heads.head import Float32
from models.heads.temperature import law_of
from models.manifest import Manifest, Solver
from training.commands.arguments import SubParsers, add_command, add_data, at_least, bundle_path
from training.commands.datasets import load_part
from training.commands.own_folder import Measured, unseen_classes
from training.data.class_split import Part, read_split
from training.data.dataset import DataError
from training.evaluation.confusion import Confusion, draw
from training.evaluation.episodes import QUERIES, SHOTS, WAYS, EpisodeSampler
from training.evaluation.evaluate import Score, score

_PAIRS = 5


@dataclass(frozen=True, slots=True)
class _Line:
    """A score, the embedding passes that each image took, and the seconds that its episodes took."""

    score: Score
    passes: int
    seconds: float


def add_to(commands: SubParsers) -> None:
    evaluate = add_command(commands, "evaluate", _evaluate, "accuracy of a bundle over few-shot episodes")
    evaluate.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    add_data(evaluate, required=True)
    text = (
        "JSON with keys dataset, train, validation, test, or a shipped split: cifar-fs, fc100, omniglot (default: every class"
        " that the backbone was not trained on)"
    )
    evaluate.add_argument("--split", metavar="FILE", help=text)
    evaluate.add_argument("--part", choices=get_args(Part), help="classes of the split to draw from (default test)")
    evaluate.add_argument("--ways", type=at_least(2), nargs="+", help="classes per episode (default 5)")
    evaluate.add_argument("--shots", type=at_least(1), nargs="+", help="examples per class (default 1 5)")
    evaluate.add_argument(
        "--queries",
        type=at_least(1),
        help=f"queries per class (default {QUERIES}; without a split, as many as there are images for)",
    )
    evaluate.add_argument(
        "--episodes", type=at_least(2), default=2000, help="episodes of each way and shot (default %(default)s)"
    )
    evaluate.add_argument("--seed", type=at_least(0), default=1, help="seed of the episodes (default %(default)s)")
    evaluate.add_argument("--solver", choices=get_args(Solver), help="default: the bundle's")
    evaluate.add_argument("--engine", choices=get_args(EngineKind), default="auto", help="default: the one a server would take")
    evaluate.add_argument(
        "--flip", action="store_true", help="also score the mean embedding of each image and its mirror image, at twice the cost"
    )
    evaluate.add_argument(
        "--confusion", type=Path, metavar="FILE.png", help="draw which classes are taken for which, over all episodes"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON for scripts, with accuracies as shares of one")


def _evaluate(arguments: argparse.Namespace) -> None:
    picture: Path | None = arguments.confusion
    if picture and not picture.parent.is_dir():
        raise DataError(f"{picture}: there is no folder {picture.parent} to write to")
    bundle = open_bundle(bundle_path(arguments.bundle))
    engine = open_engine(bundle, arguments.engine)
    measured = _measured(arguments, bundle.manifest)
    images = measured.images
    by_class, confusion = images.indices_by_class(), Confusion(len(images.classes))
    samplers = [
        EpisodeSampler(by_class, ways, shots, queries, arguments.seed)
        for ways in measured.ways
        for shots, queries in zip(measured.shots, measured.queries, strict=True)
    ]

    started = time.perf_counter()
    embeddings = embed_all(engine, images.images)
    seconds = time.perf_counter() - started
    lines = [_score(embeddings, 1, bundle, sampler, arguments, confusion) for sampler in samplers]
    if arguments.flip:
        mirrored = embed_all(engine, np.ascontiguousarray(images.images[:, :, ::-1]))
        mean = np.float32(0.5) * (embeddings + mirrored)
        lines += [_score(mean, 2, bundle, sampler, arguments) for sampler in samplers]

    pairs = [(images.classes[i], images.classes[j], rate) for i, j, rate in confusion.most_confused(_PAIRS)] if picture else []
    if arguments.json:
        print(json.dumps(_document(lines, len(images), seconds, pairs)))
    else:
        solver = arguments.solver or bundle.manifest.head.solver
        print(f"{bundle.id} on {engine.kind}, {solver} heads, {measured.what}, seed {arguments.seed}")
        print(f"{len(images):,} images embedded in {seconds:.1f} s")
        _print_table(lines)
        _print_confused(pairs)
    if picture:  # Last, so that a picture that cannot be written costs no figures.
        shape = f"{_listed(measured.ways)}-way {_listed(measured.shots)}-shot"
        title = f"{bundle.id} · {measured.what} · {shape}"
        try:
            draw(confusion, images.classes, title, picture)
        except OSError as error:
            raise DataError(f"{picture} was not written: {error.strerror}") from error


def _measured(arguments: argparse.Namespace, manifest: Manifest) -> Measured:
    if arguments.split is None:
        if arguments.part:
            raise DataError("--part names classes of a split; give --split too")
        return unseen_classes(
            arguments.data, manifest, arguments.broken_share, arguments.ways, arguments.shots, arguments.queries
        )
    part: Part = arguments.part or "test"
    base = () if part == "train" else manifest.training.classes
    split = read_split(arguments.split)
    images = load_part(arguments.data, split, part, manifest.input, base, arguments.broken_share)
    shots = arguments.shots or SHOTS
    queries = [arguments.queries or QUERIES] * len(shots)
    return Measured(images, arguments.ways or [WAYS], shots, queries, f"{len(images.classes)} {part} classes")


def _score(
    embeddings: Float32,
    passes: int,
    bundle: Bundle,
    sampler: EpisodeSampler,
    arguments: argparse.Namespace,
    confusion: Confusion | None = None,
) -> _Line:
    head = bundle.manifest.head
    options, law = head.options(arguments.solver), law_of(head, arguments.solver)
    started = time.perf_counter()
    scored = score(embeddings, bundle.feature_mean, sampler, arguments.episodes, options, confusion, law)
    return _Line(scored, passes, time.perf_counter() - started)


def _print_table(lines: Sequence[_Line]) -> None:
    flips = any(line.passes > 1 for line in lines)
    head = f"{'ways':>5}{'shots':>7}{'queries':>9}{'episodes':>10}{'accuracy %':>18}{'ECE %':>8}{'seconds':>9}"
    print(head + "  embedding passes" if flips else head)
    for line in lines:
        s = line.score
        accuracy = f"{100 * s.accuracy:.2f} ± {100 * s.ci95:.2f}"
        row = f"{s.ways:>5}{s.shots:>7}{s.queries:>9}{s.episodes:>10}{accuracy:>18}{100 * s.ece:>8.1f}{line.seconds:>9.1f}"
        what = "1, the image" if line.passes == 1 else "2, the mean of the image and its mirror image"
        print(f"{row}  {what}" if flips else row)


def _print_confused(pairs: Sequence[tuple[str, str, float]]) -> None:
    if pairs:
        print("confused most, of the queries of either class when both are in the episode:")
    for first, second, rate in pairs:
        print(f"{100 * rate:>7.1f} %  {first}, {second}")


def _document(lines: Sequence[_Line], images: int, seconds: float, pairs: Sequence[tuple[str, str, float]]) -> dict[str, Any]:
    """Returns the document of `--json`: scores of single images in `results`, of images with their mirror images in
    `flipped`.
    """
    document: dict[str, Any] = {
        "results": [asdict(line.score) for line in lines if line.passes == 1],
        "embedding": {"images": images, "seconds": seconds},
        "episodes": {"count": sum(line.score.episodes for line in lines), "seconds": sum(line.seconds for line in lines)},
    }
    if flipped := [asdict(line.score) for line in lines if line.passes > 1]:
        document["flipped"] = flipped
    if pairs:
        document["confused"] = [{"classes": [first, second], "rate": rate} for first, second, rate in pairs]
    return document


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
