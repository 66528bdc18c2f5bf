"""What does training tasks together do to each? Photographs (CIFAR-FS) and drawings (Omniglot) in one backbone.

    python -m benchmarks.several_tasks --cifar part0.zip part1.zip part2.zip --omniglot images_background_small{1,2}.zip --out
    DIR

Accuracy is that of few-shot episodes from each dataset's novel classes. The change is against training on that dataset alone.
Every row sees about the same number of images. So where two datasets share a batch, each is seen half as often as alone, and
loses by that too. The row with twice the images is without that loss; a change below zero there is negative transfer. An
interrupted run continues after its last row.
"""

import argparse
import json
import math
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from models.heads.head import Float32
from models.images.preprocess import load_image
from models.manifest import HeadOptions, InputSpec
from training.data.class_split import Split, read_split
from training.data.dataset import ImageSet
from training.data.loading import load_images
from training.devices import pick_device
from training.evaluation.episodes import EpisodeSampler, affordable_queries
from training.evaluation.evaluate import Score, score
from training.run.checkpoint import Checkpoint, DatasetInfo, RunInfo
from training.run.distributed import make_fabric
from training.run.feed import TrainingSet, channel_statistics
from training.run.loop import Trainer
from training.run.recipes import Recipe

SPEC = InputSpec(height=32, width=32)
# Not centred: a mean of one dataset would help that one alone.
HEAD = HeadOptions(solver="logistic", C=1.0, temperature=1.0, centre=False)
PHOTOGRAPHS, DRAWINGS = "CIFAR-FS", "Omniglot"
_NOVEL_ALPHABETS, _VALIDATION_ALPHABETS = 2, 1


@dataclass(frozen=True)
class Data:
    """One dataset's base and novel images."""

    split: Split
    base: ImageSet
    novel: ImageSet


@dataclass(frozen=True)
class Row:
    """One way of training: on which datasets, with what changes to the recipe, on how many times the images."""

    title: str
    datasets: tuple[str, ...]
    changes: dict[str, Any] = field(default_factory=dict)
    times: int = 1


BOTH = (PHOTOGRAPHS, DRAWINGS)
ROWS = (
    Row("CIFAR-FS alone", (PHOTOGRAPHS,)),
    Row("Omniglot alone", (DRAWINGS,)),
    Row("both, batches by size", BOTH),
    Row("both, batches by size^(1/2)", BOTH, {"mixing_temperature": 2.0}),
    Row("both, even batches", BOTH, {"mixing_temperature": math.inf}),
    Row("even, twice the images", BOTH, {"mixing_temperature": math.inf}, times=2),
    Row("even, uncertainty weights", BOTH, {"mixing_temperature": math.inf, "balancing": "uncertainty"}),
    Row("even, GradNorm", BOTH, {"mixing_temperature": math.inf, "balancing": "gradnorm"}),
    Row("even, PCGrad", BOTH, {"mixing_temperature": math.inf, "balancing": "pcgrad"}),
    Row("even, MGDA", BOTH, {"mixing_temperature": math.inf, "balancing": "mgda"}),
    Row("even, rotation too", BOTH, {"mixing_temperature": math.inf, "rotation": "alternate"}),
    Row("CIFAR-FS and rotation", (PHOTOGRAPHS,), {"rotation": "alternate"}),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains every row, prints the table, writes it and the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.several_tasks", description="CIFAR-FS and Omniglot in one backbone")
    parser.add_argument("--cifar", type=Path, nargs="+", required=True, metavar="ZIP", help="CIFAR-100 as class folders")
    parser.add_argument("--omniglot", type=Path, nargs="+", required=True, metavar="ZIP", help="as its author publishes it")
    parser.add_argument("--images", type=int, default=115_200, help="that each row sees (default %(default)s)")
    parser.add_argument("--episodes", type=int, default=1000, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives several_tasks.json and several_tasks.md")
    arguments = parser.parse_args(argv)

    data = {PHOTOGRAPHS: _photographs(arguments.cifar), DRAWINGS: _drawings(arguments.omniglot)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "several_tasks.json"
    settings = {"images": arguments.images, "episodes": arguments.episodes, "seed": arguments.seed}
    results = _finished(file, settings)
    for row in ROWS:
        if row.title not in results:
            results[row.title] = _measure(row, data, arguments)
            file.write_text(json.dumps({"settings": settings, "rows": results}, indent=1))
            print(row.title, results[row.title], flush=True)
    table = _table(results)
    (arguments.out / "several_tasks.md").write_text(table)
    print(table)


def _finished(file: Path, settings: dict[str, int]) -> dict[str, dict[str, float]]:
    """The rows that an interrupted run has measured."""
    if not file.exists():
        return {}
    document = json.loads(file.read_text())
    if document["settings"] != settings:
        raise SystemExit(f"{file} holds rows of {document['settings']}; choose another --out")
    rows: dict[str, dict[str, float]] = document["rows"]
    return rows


def _photographs(paths: Sequence[Path]) -> Data:
    split = read_split("cifar-fs")
    return Data(split, load_images(paths, split.train, SPEC), load_images(paths, split.test, SPEC))


def _drawings(paths: Sequence[Path]) -> Data:
    """Omniglot with whole alphabets held out: the last ones by name are novel."""
    files: dict[str, list[bytes]] = {}
    seen: set[str] = set()
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                member = PurePosixPath(name)
                if member.suffix == ".png" and member.name not in seen:  # two alphabets are in both files
                    seen.add(member.name)
                    files.setdefault("/".join(member.parts[-3:-1]), []).append(archive.read(name))
    alphabets = sorted({name.partition("/")[0] for name in files})
    novel = set(alphabets[-_NOVEL_ALPHABETS:])
    validation = set(alphabets[-_NOVEL_ALPHABETS - _VALIDATION_ALPHABETS : -_NOVEL_ALPHABETS])

    def of(names: set[str]) -> tuple[str, ...]:
        return tuple(sorted(name for name in files if name.partition("/")[0] in names))

    split = Split(DRAWINGS, of(set(alphabets) - novel - validation), of(validation), of(novel))
    return Data(split, _decode(files, split.train), _decode(files, split.test))


def _decode(files: dict[str, list[bytes]], classes: tuple[str, ...]) -> ImageSet:
    images = np.stack([load_image(content, SPEC) for name in classes for content in files[name]])
    labels = np.repeat(np.arange(len(classes)), [len(files[name]) for name in classes])
    return ImageSet(images, labels, classes, tuple(f"{name}/{i}" for name in classes for i in range(len(files[name]))))


def _measure(row: Row, data: dict[str, Data], arguments: argparse.Namespace) -> dict[str, float]:
    """Trains one row and tests it on the novel classes of both datasets."""
    chosen = [data[name] for name in row.datasets]
    images = sum(len(part.base) for part in chosen)
    recipe = Recipe(
        name="several-tasks",
        summary="a row of the table",
        network="conv4",
        widths=(64,),
        epochs=max(1, round(row.times * arguments.images / images)),
        precision="float32",
        **row.changes,
    )
    infos = tuple(DatasetInfo((), part.split, part.split.dataset, len(part.base)) for part in chosen)
    mean, std = channel_statistics([part.base for part in chosen])
    checkpoint = Checkpoint(RunInfo(recipe.model_dump(), arguments.seed, infos, mean, std, None))
    with tempfile.TemporaryDirectory() as folder:
        fabric = make_fabric(pick_device("auto"), 1, recipe)
        trainer = Trainer(checkpoint, [TrainingSet(part.base, None) for part in chosen], Path(folder), fabric)
        finished = trainer.run()
    measured = {"seconds": finished.seconds, "images": float(recipe.epochs * images)}
    for name, part in data.items():
        embeddings = trainer.embed(part.novel)
        for shots in (1, 5):
            scored = _score(embeddings, part.novel, shots, arguments)
            measured[f"{name} {shots}-shot"], measured[f"{name} {shots}-shot ci95"] = scored.accuracy, scored.ci95
    return measured


def _score(embeddings: Float32, novel: ImageSet, shots: int, arguments: argparse.Namespace) -> Score:
    by_class = novel.indices_by_class()
    sampler = EpisodeSampler(by_class, 5, shots, affordable_queries(by_class, 5), arguments.seed)
    return score(embeddings, embeddings[0], sampler, arguments.episodes, HEAD)


def _table(results: dict[str, dict[str, float]]) -> str:
    cells = [f"{name} {shots}-shot" for name in BOTH for shots in (1, 5)]
    alone = {cell: results[f"{cell.split()[0]} alone"][cell] for cell in cells}
    lines = ["| trained on | " + " | ".join(cells) + " | images | seconds |", "|---" * (len(cells) + 3) + "|"]
    for title in (row.title for row in ROWS):
        measured = results[title]
        parts = [
            f"{100 * measured[cell]:.1f} ± {100 * measured[f'{cell} ci95']:.1f} ({100 * (measured[cell] - alone[cell]):+.1f})"
            for cell in cells
        ]
        lines.append(f"| {title} | " + " | ".join(parts) + f" | {measured['images']:,.0f} | {measured['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
