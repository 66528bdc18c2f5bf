"""`headstart-train`: trains, resumes, evaluates, exports and inspects. One function per sub-command."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

try:
    import torch
except ModuleNotFoundError:
    sys.exit("headstart-train needs PyTorch and the trainer's libraries: pip install '.[cpu,train]'")

from models.bundle import SHIPPED, BundleError, find_bundles, open_bundle
from models.engine import EngineError, EngineKind, embed_all, open_engine
from models.manifest import InputSpec
from training.checkpoint import FILE_NAME, Checkpoint, CheckpointError, RunInfo
from training.data import DataError, ImageSet, Part, load_images, read_split
from training.episodes import EpisodeSampler
from training.evaluate import score
from training.export import ExportError, Sources, export
from training.recipes import RECIPES
from training.train import Interrupted, Trainer, channel_statistics

_INTERRUPTED = 130


class DeviceError(Exception):
    """The device to train on is not there."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 done, 1 refused with one line on standard error, 2 usage, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except Interrupted as stop:
        print(f"headstart-train: {stop}; go on with: headstart-train resume {arguments.out}", file=sys.stderr)
        return _INTERRUPTED
    except (DataError, CheckpointError, BundleError, EngineError, ExportError, DeviceError) as error:
        print(f"headstart-train: {error}", file=sys.stderr)
        return 1
    return 0


def _run(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    if (out / FILE_NAME).exists():
        raise CheckpointError(f"{out} holds a run already; resume it, or choose another --out")
    recipe = RECIPES[arguments.recipe]
    if arguments.epochs:
        recipe = recipe.model_copy(update={"epochs": arguments.epochs})
    split = read_split(arguments.split)
    base = _load(arguments.data, split.train, recipe.input_size)
    mean, std = channel_statistics(base)
    info = RunInfo(
        recipe=recipe.model_dump(),
        seed=arguments.seed,
        data=tuple(str(path) for path in arguments.data),
        split=arguments.split,
        dataset=split.dataset,
        classes=base.classes,
        images=len(base),
        mean=mean,
        std=std,
        git_revision=_git_revision(),
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make {out}: {error.strerror}") from error
    _train(Checkpoint(info), base, arguments)


def _resume(arguments: argparse.Namespace) -> None:
    checkpoint = Checkpoint.load(arguments.out)
    paths = arguments.data or [Path(path) for path in checkpoint.info.data]
    base = _load(paths, checkpoint.info.classes, checkpoint.recipe.input_size)
    if len(base) != checkpoint.info.images:
        raise DataError(f"the run began with {checkpoint.info.images} base images; now there are {len(base)}")
    arguments.data = paths
    _train(checkpoint, base, arguments)


def _train(checkpoint: Checkpoint, base: ImageSet, arguments: argparse.Namespace) -> None:
    classes = read_split(checkpoint.info.split).validation
    validation = _load(arguments.data, classes, checkpoint.recipe.input_size)
    finished = Trainer(checkpoint, base, validation, arguments.out, _device(arguments.device)).run()
    print(f"trained {finished.step} steps in {finished.seconds:.0f} s; next: headstart-train export {arguments.out}")


def _evaluate(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(_bundle_path(arguments.bundle))
    engine = open_engine(bundle, arguments.engine)
    base = () if arguments.part == "train" else bundle.manifest.training.classes
    images = _load_part(arguments.data, arguments.split, arguments.part, bundle.manifest.input, base)
    samplers = [
        EpisodeSampler(images.indices_by_class(), arguments.ways, shots, arguments.queries, arguments.seed)
        for shots in arguments.shots
    ]
    embeddings = embed_all(engine, images.images)
    options = bundle.manifest.head.options(arguments.solver)
    scores = [score(embeddings, bundle.feature_mean, sampler, arguments.episodes, options) for sampler in samplers]
    if arguments.json:
        print(json.dumps({"results": [asdict(scored) for scored in scores]}))
        return
    print(f"{bundle.id} on {engine.kind}, {options.solver} heads, {arguments.part} classes, seed {arguments.seed}")
    print(f"{'ways':>5}{'shots':>7}{'queries':>9}{'episodes':>10}{'accuracy %':>18}{'ECE %':>8}")
    for s in scores:
        accuracy = f"{100 * s.accuracy:.2f} ± {100 * s.ci95:.2f}"
        print(f"{s.ways:>5}{s.shots:>7}{s.queries:>9}{s.episodes:>10}{accuracy:>18}{100 * s.ece:>8.1f}")


def _export(arguments: argparse.Namespace) -> None:
    checkpoint = Checkpoint.load(arguments.run)
    paths = arguments.data or [Path(path) for path in checkpoint.info.data]
    split, spec = checkpoint.info.split, InputSpec(height=checkpoint.recipe.input_size, width=checkpoint.recipe.input_size)
    sources = Sources(
        checkpoint,
        load_images(paths, checkpoint.info.classes, spec),
        _load_part(paths, split, "validation", spec, checkpoint.info.classes),
        _load_part(paths, split, "test", spec, checkpoint.info.classes),
    )
    name = arguments.name or checkpoint.recipe.name
    path = export(
        sources, name, arguments.version, arguments.out, not arguments.without_torchscript, lambda line: print(line, flush=True)
    )
    print(f"wrote {path}; serve it with: headstart-server --bundles-dir {arguments.out} --bundle {name}@{arguments.version}")


def _inspect(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(_bundle_path(arguments.bundle))
    manifest = bundle.manifest
    if arguments.json:
        print(manifest.model_dump_json(indent=1))
        return
    trained, head = manifest.training, manifest.head.options()
    print(f"{manifest.id}: {manifest.architecture.name} {manifest.architecture.widths}, {manifest.embedding_dim}-wide embedding")
    print(f"  input     {manifest.input.height} x {manifest.input.width} {manifest.input.colour}, {manifest.input.resize}")
    print(f"  trained   {trained.recipe} on {trained.dataset}, {len(trained.classes)} classes, {trained.images} images")
    print(f"            {trained.epochs} epochs, seed {trained.seed}, {trained.seconds:.0f} s on {trained.hardware}")
    print(f"  head      {head.solver}, C {head.C:g}, temperature {head.temperature:g}, centre {head.centre}")
    for e in manifest.evaluations:
        print(
            f"  {e.part:<10}{e.file:<20}{e.solver:<10}{e.ways}-way {e.shots}-shot "
            f"{100 * e.accuracy:6.2f} ± {100 * e.ci95:.2f} %  ECE {100 * e.ece:.1f} %"
        )
    for name, entry in manifest.files.items():
        print(f"  {name:<24}{entry.size / 1e6:8.2f} MB  sha256 {entry.sha256[:16]}… verified")


def _load(paths: Sequence[Path], classes: Sequence[str], size: int) -> ImageSet:
    return load_images(paths, classes, InputSpec(height=size, width=size))


def _load_part(paths: Sequence[Path], split: str, part: Part, spec: InputSpec, base: Collection[str]) -> ImageSet:
    """Images of a part whose classes the backbone must not have been trained on."""
    classes = read_split(split).classes(part)
    if seen := sorted(set(classes) & set(base)):
        raise DataError(f"the backbone was trained on {len(seen)} of the {part} classes of {split}: {', '.join(seen[:5])}, …")
    return load_images(paths, classes, spec)


def _bundle_path(path_or_id: str) -> Path:
    return find_bundles(SHIPPED).get(path_or_id, Path(path_or_id))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name} cannot be used: {str(error).splitlines()[0]}") from error
    return torch.device(name)


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headstart-train", description="Trains backbones for Headstart and makes bundles of them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    recipes = "\n".join(f"  {recipe.name:<26}{recipe.summary}" for recipe in RECIPES.values())
    run = _command(commands, "run", _run, "train a backbone", f"recipes:\n{recipes}")
    run.add_argument("recipe", choices=RECIPES, metavar="RECIPE", help="see the list below")
    _data_argument(run, required=True)
    _split_argument(run)
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives checkpoint, curves and TensorBoard log")
    run.add_argument("--seed", type=_at_least(0), default=1, help="of everything random (default %(default)s)")
    run.add_argument("--epochs", type=_at_least(1), help="instead of the recipe's")
    _device_argument(run)

    resume = _command(commands, "resume", _resume, "go on with an interrupted run, from its last checkpoint")
    resume.add_argument("out", type=Path, metavar="DIR", help="the --out of the run")
    _data_argument(resume, required=False)
    _device_argument(resume)

    evaluate = _command(commands, "evaluate", _evaluate, "accuracy of a bundle over few-shot episodes")
    evaluate.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    _data_argument(evaluate, required=True)
    _split_argument(evaluate)
    evaluate.add_argument("--part", choices=("train", "validation", "test"), default="test", help="classes to draw from")
    evaluate.add_argument("--ways", type=_at_least(2), default=5, help="classes per episode (default %(default)s)")
    evaluate.add_argument("--shots", type=_at_least(1), nargs="+", default=[1, 5], help="examples per class (default 1 5)")
    evaluate.add_argument("--queries", type=_at_least(1), default=15, help="per class (default %(default)s)")
    evaluate.add_argument("--episodes", type=_at_least(1), default=2000, help="default %(default)s")
    evaluate.add_argument("--seed", type=_at_least(0), default=1, help="of the episodes (default %(default)s)")
    evaluate.add_argument("--solver", choices=("logistic", "ridge", "prototype"), help="default: the bundle's")
    evaluate.add_argument("--engine", choices=get_args(EngineKind), default="auto", help="default: what the server would take")
    evaluate.add_argument("--json", action="store_true", help="shares of one, for scripts")

    exporting = _command(commands, "export", _export, "make a bundle of a run: ONNX, TorchScript, statistics, head defaults")
    exporting.add_argument("run", type=Path, metavar="DIR", help="the --out of the run")
    _data_argument(exporting, required=False)
    exporting.add_argument("--name", help="of the bundle (default: the recipe's)")
    exporting.add_argument("--version", default="1", help="of the bundle (default %(default)s)")
    exporting.add_argument("--out", type=Path, default=Path("bundles"), metavar="DIR", help="default %(default)s")
    exporting.add_argument("--without-torchscript", action="store_true", help="check it but leave it out: half the size")

    inspect = _command(commands, "inspect", _inspect, "verify a bundle and show what it says of itself")
    inspect.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    inspect.add_argument("--json", action="store_true", help="the manifest")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    function: Callable[[argparse.Namespace], None],
    summary: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(command=function)
    return command


def _data_argument(command: argparse.ArgumentParser, *, required: bool) -> None:
    text = "folders of class folders, or zips of them; the same class in several is one class"
    default = "" if required else " (default: the run's)"
    command.add_argument("--data", type=Path, nargs="+", required=required, metavar="PATH", help=text + default)


def _split_argument(command: argparse.ArgumentParser) -> None:
    text = "JSON with the keys dataset, train, validation, test; or a shipped split: cifar-fs, fc100 (default %(default)s)"
    command.add_argument("--split", default="cifar-fs", metavar="FILE", help=text)


def _device_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes CUDA where it is (default auto)")


def _at_least(least: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return integer


if __name__ == "__main__":
    sys.exit(main())
