"""Our backbones beside the paper's, cell by cell: trains, exports and evaluates the recipes of both datasets.

    python -m benchmarks.paper_table --data part0.zip part1.zip part2.zip --out DIR

Made for a GPU; `--cpu` takes the recipes that fit two cores. Started again with the same `--out` it goes on where it stopped.
Each generation after the first is distilled from the one before. `--set` shrinks the recipes, to try the whole path in minutes.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from models.bundle import open_bundle
from models.manifest import Evaluation, Manifest, Training
from training.__main__ import main as headstart_train
from training.run.checkpoint import FILE_NAME, Checkpoint

# Percent at 1 and 5 shots, single ResNet-12 trained on base classes only.
PUBLISHED = {
    "MTL (Wang et al., ICML 2021)": {"cifar-fs": (69.5, 84.1), "fc100": (42.4, 57.7)},
    "RFS-distill (Tian et al., ECCV 2020)": {"cifar-fs": (73.9, 86.9), "fc100": (44.6, 60.9)},
    "SKD, generation 1 (Rajasegaran et al., BMVC 2021)": {"cifar-fs": (76.9, 88.9), "fc100": (46.5, 63.1)},
    "Invariance-Equivariance (Rizve et al., CVPR 2021)": {"cifar-fs": (77.9, 89.7), "fc100": (47.8, 65.3)},
}
RECIPES = {"cifar-fs": "cifar-fs-resnet12", "fc100": "fc100-resnet12"}
SHOTS = (1, 5)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: that of the first step that failed, else 0."""
    parser = argparse.ArgumentParser(prog="benchmarks.paper_table", description="our backbones beside the paper's")
    parser.add_argument("--data", nargs="+", required=True, metavar="ZIP", help="CIFAR-100 as class folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives runs, bundles, table.md, table.json")
    parser.add_argument("--splits", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: both")
    parser.add_argument("--cpu", action="store_true", help="the recipes for two CPU cores")
    parser.add_argument("--generations", type=int, default=2, help="default %(default)s")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for every recipe, as headstart-train run"
    )
    arguments = parser.parse_args(argv)
    manifests = []
    for split in arguments.splits:
        for generation in range(arguments.generations):
            status = _train(split, generation, arguments) or _export(split, generation, arguments)
            if status:
                return status
            manifests.append(open_bundle(_bundle(split, generation, arguments)).manifest)
            _write(manifests, arguments.out)
    print((arguments.out / "table.md").read_text())
    return 0


def _run(split: str, generation: int, arguments: argparse.Namespace) -> Path:
    out: Path = arguments.out
    return out / f"{split}-generation-{generation}"


def _bundle(split: str, generation: int, arguments: argparse.Namespace) -> Path:
    out: Path = arguments.out
    return out / "bundles" / _recipe(split, arguments) / str(generation)


def _recipe(split: str, arguments: argparse.Namespace) -> str:
    return f"{RECIPES[split]}-cpu" if arguments.cpu else RECIPES[split]


def _train(split: str, generation: int, arguments: argparse.Namespace) -> int:
    """Trains one generation, or goes on with it."""
    run = _run(split, generation, arguments)
    if (run / FILE_NAME).exists():
        return 0 if Checkpoint.load(run).finished else headstart_train(["resume", str(run), "--data", *arguments.data])
    command = ["run", _recipe(split, arguments), "--data", *arguments.data, "--split", split, "--out", str(run)]
    command += [part for change in arguments.set for part in ("--set", change)]
    if generation:
        command += ["--teacher", str(_run(split, generation - 1, arguments))]
    return headstart_train(command)


def _export(split: str, generation: int, arguments: argparse.Namespace) -> int:
    """Exports one generation, which evaluates it on the novel classes."""
    if _bundle(split, generation, arguments).exists():
        return 0
    command = ["export", str(_run(split, generation, arguments)), "--data", *arguments.data]
    command += ["--name", _recipe(split, arguments), "--version", str(generation), "--out", str(arguments.out / "bundles")]
    return headstart_train(command)


def _write(manifests: Sequence[Manifest], out: Path) -> None:
    """The table so far, in Markdown and as JSON."""
    lines = ["| | CIFAR-FS 1-shot | 5-shot | FC100 1-shot | 5-shot | seconds | hardware |", "|---|---|---|---|---|---|---|"]
    for name, figures in PUBLISHED.items():
        lines.append(f"| {name} | " + " | ".join(str(v) for split in RECIPES for v in figures[split]) + " | | |")
    results = []
    for manifest in manifests:
        training = manifest.training
        assert isinstance(training, Training)
        cells = []
        for split in RECIPES:
            for shots in SHOTS:
                found = _novel(manifest, shots) if training.split == split else None
                cells.append(f"{100 * found.accuracy:.2f} ± {100 * found.ci95:.2f}" if found else "")
        lines.append(f"| ours, {manifest.id} | {' | '.join(cells)} | {training.seconds:.0f} | {training.hardware} |")
        results.append(
            {"bundle": manifest.id, "seconds": training.seconds, "hardware": training.hardware}
            | {f"{shots}-shot": _novel(manifest, shots).model_dump() for shots in SHOTS}
        )
    (out / "table.md").write_text("\n".join(lines) + "\n")
    (out / "table.json").write_text(json.dumps(results, indent=1))


def _novel(manifest: Manifest, shots: int) -> Evaluation:
    """The float32 backbone's line on the novel classes, with the default head."""
    return next(
        line
        for line in manifest.evaluations
        if (line.part, line.file, line.solver, line.shots) == ("test", "backbone.onnx", manifest.head.solver, shots)
    )


if __name__ == "__main__":
    sys.exit(main())
