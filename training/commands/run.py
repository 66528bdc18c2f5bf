"""`run` and `resume`: train on images and write a checkpoint."""

import argparse
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from models.manifest import InputSpec
from training.commands.arguments import SubParsers, add_command, add_datasets, at_least
from training.commands.datasets import LEAST_TO_MEASURE, check_names, load, places_of
from training.data.class_split import Split, carried_split, read_split, refuse_seen, split_classes, write_split
from training.data.dataset import DataError
from training.data.sources import find_classes
from training.devices import keep_freed_memory, pick_device
from training.run.checkpoint import FILE_NAME, Checkpoint, CheckpointError, DatasetInfo, RunInfo
from training.run.feed import TrainingSet, channel_statistics
from training.run.initial import Initial, initial_network
from training.run.learner import Learner
from training.run.recipes import RECIPES, Recipe, RecipeError, changed

_LEAST_TO_TRAIN = 2


def add_to(commands: SubParsers) -> None:
    recipes = "\n".join(f"  {recipe.name:<26}{recipe.summary}" for recipe in RECIPES.values())
    run = add_command(commands, "run", _run, "train a backbone", f"recipes:\n{recipes}")
    run.add_argument("recipe", choices=RECIPES, metavar="RECIPE", help="see the list below")
    add_datasets(run, "give it again for another dataset, which is trained together with the first, with a head of its own")
    run.add_argument(
        "--split",
        action="append",
        metavar="FILE",
        help="JSON with the keys dataset, train, validation, test, or a shipped split: cifar-fs, fc100, omniglot; once per "
        "--data. Without: the parts that pickles name, else 64 %% of the classes to train on, 16 %% to choose by and 20 %% to "
        "measure with, but at least 5 each, split by the seed",
    )
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives checkpoint, curves and TensorBoard log")
    run.add_argument("--seed", type=at_least(0), default=1, help="seed of everything random (default %(default)s)")
    run.add_argument("--epochs", type=at_least(1), help="epochs, instead of the recipe's")
    run.add_argument(
        "--input-size", type=at_least(16), metavar="PIXELS", help="side of the network's input (default: the recipe's)"
    )
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="changes a value of the recipe, as --set balancing=pcgrad --set mixing_temperature=2",
    )
    run.add_argument(
        "--init",
        metavar="NETWORK",
        help="start from efficientnet-lite0, torchvision:NAME, timm:NAME, the folder of a finished run or of a bundle, or a "
        "shipped bundle's id, in place of the recipe's network; such weights need a lower learning rate, as "
        "--set learning_rate=0.01",
    )
    run.add_argument(
        "--weights", metavar="NAME", help="for --init torchvision:… or timm:…: DEFAULT, another name, a file, or none"
    )
    run.add_argument("--teacher", type=Path, metavar="DIR", help="a finished run on the same data to distil from")
    _add_device(run)

    resume = add_command(commands, "resume", _resume, "go on with an interrupted run, from its last checkpoint")
    resume.add_argument("out", type=Path, metavar="DIR", help="the --out of the run")
    add_datasets(resume, "default: where the run found them", required=False)
    resume.add_argument("--teacher", type=Path, metavar="DIR", help="default: where the run found it")
    _add_device(resume)


def _run(arguments: argparse.Namespace) -> None:
    if (arguments.out / FILE_NAME).exists():
        raise CheckpointError(f"{arguments.out} holds a run already; resume it, or choose another --out")
    if arguments.weights and not arguments.init:
        raise RecipeError("--weights belong to --init, which was not given")
    initial = initial_network(arguments.init, arguments.weights, arguments.input_size) if arguments.init else None
    recipe = _recipe(arguments, initial)
    splits = [_split(paths, source, arguments.seed) for paths, source in _pairs(arguments.data, arguments.split or [])]
    check_names([split.dataset for split, _ in splits])
    inherited = initial.classes if initial else ()
    refuse_seen([split for split, _ in splits], inherited)
    share = arguments.broken_share
    datasets = [_load(paths, split, recipe, share) for paths, (split, _) in zip(arguments.data, splits, strict=True)]
    recipe = _fitting(recipe, datasets)
    known = initial.architecture if initial else None
    mean, std = (known.mean, known.std) if known else channel_statistics([data.base for data in datasets])
    info = RunInfo(
        recipe=recipe.model_dump(),
        seed=arguments.seed,
        datasets=tuple(
            DatasetInfo(tuple(str(path.absolute()) for path in paths), split, source, len(data.base))
            for paths, (split, source), data in zip(arguments.data, splits, datasets, strict=True)
        ),
        mean=mean,
        std=std,
        git_revision=_git_revision(),
        initial=initial.origin if initial else None,
        teacher=str(arguments.teacher.absolute()) if arguments.teacher else None,
        inherited=inherited,
    )
    checkpoint = Checkpoint(info)
    if initial:
        initial.put_into(checkpoint, [data.base for data in datasets])
    _make_folder(arguments.out, splits)
    _train(checkpoint, datasets, arguments)


def _resume(arguments: argparse.Namespace) -> None:
    checkpoint = Checkpoint.load(arguments.out)
    known = checkpoint.info.datasets
    places = places_of(arguments.data, known)
    datasets = [
        _load(paths, data.split, checkpoint.recipe, arguments.broken_share) for paths, data in zip(places, known, strict=True)
    ]
    for found, data in zip(datasets, known, strict=True):
        if len(found.base) != data.images:
            raise DataError(f"the run began with {data.images} base images; now there are {len(found.base)}")
    if arguments.teacher and not checkpoint.info.teacher:
        raise CheckpointError(f"{arguments.out} began without a teacher, so it cannot go on with one")
    _train(checkpoint, datasets, arguments)


def _train(checkpoint: Checkpoint, datasets: Sequence[TrainingSet], arguments: argparse.Namespace) -> None:
    # Imported late: Lightning Fabric takes seconds, and wrong arguments should be reported at once.
    from training.run.distributed import disband, make_fabric
    from training.run.loop import Trainer

    device = pick_device(arguments.device)
    if device.type == "cpu":
        keep_freed_memory()
    fabric = make_fabric(device, arguments.devices, checkpoint.recipe)
    fabric.launch()
    taught_by = arguments.teacher or checkpoint.info.teacher
    teacher = _teacher(Path(taught_by), checkpoint) if taught_by else None
    finished = Trainer(checkpoint, datasets, arguments.out, fabric, teacher).run()
    disband(fabric)
    if fabric.is_global_zero:
        print(f"trained {finished.step} steps in {finished.seconds:.0f} s; next: headstart-train export {arguments.out}")


def _recipe(arguments: argparse.Namespace, initial: Initial | None) -> Recipe:
    changes: dict[str, object] = {}
    if initial:
        changes |= {"network": initial.architecture.name, "widths": initial.architecture.widths}
        if initial.architecture.name != RECIPES[arguments.recipe].network:  # else the recipe knows the size that it needs
            changes["input_size"] = initial.input_size
    changes |= dict(_assignment(text) for text in arguments.set)
    if arguments.epochs:
        changes["epochs"] = arguments.epochs
    if arguments.input_size:
        changes["input_size"] = arguments.input_size
    return changed(RECIPES[arguments.recipe], changes)


def _assignment(text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator:
        raise RecipeError(f"--set takes NAME=VALUE, not {text!r}")
    return name, tuple(value.split(",")) if name in {"widths", "milestones"} else value


def _pairs(data: Sequence[Sequence[Path]], splits: Sequence[str]) -> Iterable[tuple[Sequence[Path], str | None]]:
    if len(splits) > len(data):
        raise DataError(f"--split was given {len(splits)} times, --data {len(data)} times")
    return zip(data, [*splits, *[None] * (len(data) - len(splits))], strict=True)


def _split(paths: Sequence[Path], source: str | None, seed: int) -> tuple[Split, str]:
    """Returns the split, and its name."""
    if source:
        return read_split(source), source
    name = paths[0].resolve().stem
    if carried := carried_split(paths, name):
        return carried, "pickles"
    return split_classes(find_classes(paths), seed, name), f"seed {seed}"


def _fitting(recipe: Recipe, datasets: Sequence[TrainingSet]) -> Recipe:
    """Returns the recipe, with one batch of all images where there are fewer than a batch."""
    images = sum(len(data.base) for data in datasets)
    if recipe.ways or len(datasets) > 1 or images >= recipe.batch_size:
        return recipe
    print(f"batches of {images} images, all there are, instead of {recipe.batch_size}", flush=True)
    return changed(recipe, {"batch_size": images})


def _make_folder(out: Path, splits: Sequence[tuple[Split, str]]) -> None:
    """Makes the run's folder with its split files, for `evaluate --split`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make {out}: {error.strerror}") from error
    for position, (split, source) in enumerate(splits):
        path = out / ("split.json" if position == 0 else f"split-{position + 1}.json")
        write_split(split, path)
        counts = f"{len(split.train)} to train on, {len(split.validation)} to choose by, {len(split.test)} to measure with"
        print(f"classes of {split.dataset} split by {source}: {counts}; written to {path}", flush=True)


def _load(paths: Sequence[Path], split: Split, recipe: Recipe, broken_share: float) -> TrainingSet:
    spec = InputSpec(height=recipe.input_size, width=recipe.input_size)
    base = load(paths, split.train, spec, broken_share, _LEAST_TO_TRAIN)
    validation = load(paths, split.validation, spec, broken_share, LEAST_TO_MEASURE)
    return TrainingSet(base, validation if split.validation else None)


def _teacher(folder: Path, student: Checkpoint) -> Learner:
    """Returns the learner of a finished run whose classes and input are the student's."""
    teacher = Checkpoint.load(folder)
    if not teacher.finished:
        raise CheckpointError(f"{folder} is not finished, so it cannot teach; resume it first")
    if [data.split.train for data in teacher.info.datasets] != [data.split.train for data in student.info.datasets]:
        raise CheckpointError(f"{folder} was trained on other classes, so it cannot teach this run")
    if teacher.recipe.input_size != student.recipe.input_size:
        raise CheckpointError(f"{folder} sees images of {teacher.recipe.input_size} pixels, not {student.recipe.input_size}")
    return teacher.trained_learner()


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes CUDA where it is (default auto)")
    command.add_argument(
        "--devices", type=at_least(1), default=1, help="how many GPUs, or processes on the CPU, share each batch"
    )
