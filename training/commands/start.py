"""The common part of `run`, `continue` and `resume`: they read their data, begin a run and train."""

import argparse
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.manifest import InputSpec
from training.commands.arguments import at_least
from training.commands.datasets import LEAST_TO_MEASURE, check_names, load
from training.data.class_split import Split, carried_split, read_split, refuse_seen, split_classes, write_split
from training.data.dataset import DataError
from training.data.sources import find_classes
from training.devices import keep_freed_memory, pick_device
from training.run.balance import balancings
from training.run.batches import fit_batch
from training.run.checkpoint import FILE_NAME, Checkpoint, CheckpointError, DatasetInfo, RunInfo
from training.run.feed import TrainingSet, channel_statistics
from training.run.initial import Initial
from training.run.interrupt import Interrupted
from training.run.learner import Learner
from training.run.recipes import Recipe, RecipeError

SPLIT_HELP = (
    "JSON with the keys dataset, train, validation, test, or a shipped split: cifar-fs, fc100, omniglot; once per "
    "--data. Without: the parts that pickles name, else 64 %% of the classes to train on, 16 %% to choose by and 20 %% to "
    "measure with, but at least 5 each, split by the seed"
)
_LEAST_TO_TRAIN = 2


@dataclass(frozen=True)
class Given:
    """A dataset of the command line: its paths, its split and where that is from, and `DatasetInfo.per_class`."""

    paths: Sequence[Path]
    split: Split
    source: str
    per_class: int | None = None


def add_settings(command: argparse.ArgumentParser) -> None:
    """Adds `--out`, `--seed`, `--epochs`, `--set` and the device."""
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives checkpoint, curves and TensorBoard log")
    command.add_argument("--epochs", type=at_least(1), help="epochs, instead of the recipe's")
    add_seed_and_changes(command)
    add_device(command)
    add_devices(command)


def add_seed_and_changes(command: argparse.ArgumentParser) -> None:
    """Adds `--seed` and `--set`."""
    command.add_argument("--seed", type=at_least(0), default=1, help="seed of everything random (default %(default)s)")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="changes a value of the recipe, as --set balancing=pcgrad --set mixing_temperature=2; balancing is one of "
        f"{', '.join(sorted(balancings()))}",
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """Adds `--device`."""
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes CUDA where it is (default auto)")


def add_devices(command: argparse.ArgumentParser) -> None:
    """Adds `--devices`."""
    command.add_argument(
        "--devices", type=at_least(1), default=1, help="how many GPUs, or processes on the CPU, share each batch"
    )


def refuse_taken(out: Path) -> None:
    """Refuses a folder that holds a run.

    Raises:
        CheckpointError: it does.
    """
    if (out / FILE_NAME).exists():
        raise CheckpointError(f"{out} holds a run already; resume it, or choose another --out")


def given(
    data: Sequence[Sequence[Path]], splits: Sequence[str], seed: int, per_class: int | None = None, option: str = "--data"
) -> Iterator[Given]:
    """Yields the datasets of `--data` with their splits.

    Args:
        splits: files or shipped names, for the first datasets.
        option: that the datasets were given by, for messages.

    Raises:
        DataError: there are more splits than datasets, or a split cannot be read or made.
    """
    if len(splits) > len(data):
        raise DataError(f"{option.replace('data', 'split')} was given {len(splits)} times, {option} {len(data)} times")
    for paths, source in zip(data, [*splits, *[None] * (len(data) - len(splits))], strict=True):
        yield Given(paths, *_split(paths, source, seed), per_class)


def _split(paths: Sequence[Path], source: str | None, seed: int) -> tuple[Split, str]:
    """Returns the split, and its name."""
    if source:
        return read_split(source), source
    name = paths[0].resolve().stem
    if carried := carried_split(paths, name):
        return carried, "pickles"
    return split_classes(find_classes(paths), seed, name), f"seed {seed}"


def settings(arguments: argparse.Namespace) -> dict[str, object]:
    """Returns the changes of a recipe that `--set` and `--epochs` ask for.

    Raises:
        RecipeError: a `--set` is no assignment.
    """
    changes: dict[str, object] = dict(_assignment(text) for text in arguments.set)
    return changes | ({"epochs": arguments.epochs} if arguments.epochs else {})


def _assignment(text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator:
        raise RecipeError(f"--set takes NAME=VALUE, not {text!r}")
    return name, tuple(value.split(",")) if name in {"widths", "milestones"} else value


def begin(
    arguments: argparse.Namespace, found: Sequence[Given], recipe: Recipe, initial: Initial | None, teacher: Path | None = None
) -> tuple[Checkpoint, Sequence[TrainingSet]]:
    """Loads the datasets and makes the run's folder; returns the run before its first step.

    Raises:
        DataError, CheckpointError: as `prepare`, or the folder cannot be made.
    """
    prepared = prepare(arguments, found, recipe, initial, teacher)
    make_folder(arguments.out, found)
    return prepared


def prepare(
    arguments: argparse.Namespace, found: Sequence[Given], recipe: Recipe, initial: Initial | None, teacher: Path | None = None
) -> tuple[Checkpoint, Sequence[TrainingSet]]:
    """Loads the datasets; returns the run before its first step.

    Raises:
        DataError: datasets or splits cannot be used, or contradict each other or the earlier training.
        CheckpointError: the initial weights do not fit.
    """
    check_names([data.split.dataset for data in found])
    inherited = initial.classes if initial else ()
    refuse_seen([data.split for data in found], inherited)
    datasets = [load_set(data.paths, data.split, recipe, arguments.broken_share, data.per_class) for data in found]
    fitted = fit_batch(recipe, [len(data.base) for data in datasets])
    if fitted != recipe:
        print(f"batches of {fitted.batch_size} images, all there are, instead of {recipe.batch_size}", flush=True)
    known = initial.architecture if initial else None
    mean, std = (known.mean, known.std) if known else channel_statistics([data.base for data in datasets])
    info = RunInfo(
        recipe=fitted.model_dump(),
        seed=arguments.seed,
        datasets=tuple(
            DatasetInfo(
                tuple(str(path.absolute()) for path in each.paths), each.split, each.source, len(data.base), each.per_class
            )
            for each, data in zip(found, datasets, strict=True)
        ),
        mean=mean,
        std=std,
        git_revision=_git_revision(),
        initial=initial.origin if initial else None,
        teacher=str(teacher.absolute()) if teacher else None,
        inherited=inherited,
    )
    checkpoint = Checkpoint(info)
    if initial:
        initial.put_into(checkpoint, [data.base for data in datasets])
    return checkpoint, datasets


def load_set(
    paths: Sequence[Path], split: Split, recipe: Recipe, broken_share: float, per_class: int | None = None
) -> TrainingSet:
    """Loads the base and the validation images of a dataset.

    Raises:
        DataError: they cannot be used.
    """
    spec = InputSpec(height=recipe.input_size, width=recipe.input_size)
    base = load(paths, split.train, spec, broken_share, _LEAST_TO_TRAIN)
    validation = load(paths, split.validation, spec, broken_share, LEAST_TO_MEASURE)
    return TrainingSet(base.first_per_class(per_class) if per_class else base, validation if split.validation else None)


def make_folder(out: Path, found: Sequence[Given]) -> None:
    """Makes a folder with the split files, for `evaluate --split`.

    Raises:
        CheckpointError, DataError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make {out}: {error.strerror}") from error
    for position, data in enumerate(found):
        split = data.split
        path = split_file(out, position)
        write_split(split, path)
        counts = f"{len(split.train)} to train on, {len(split.validation)} to choose by, {len(split.test)} to measure with"
        print(f"classes of {split.dataset} split by {data.source}: {counts}; written to {path}", flush=True)


def split_file(out: Path, position: int) -> Path:
    """Returns the place of a dataset's split in the folder of a run."""
    return out / ("split.json" if position == 0 else f"split-{position + 1}.json")


def train(
    checkpoint: Checkpoint,
    datasets: Sequence[TrainingSet],
    arguments: argparse.Namespace,
    teacher: Path | None = None,
    compare: bool = False,
) -> None:
    """Trains to the end, and prints what comes next.

    Args:
        compare: whether the accuracy before the first step is measured, to be printed beside that at the end.

    Raises:
        Interrupted: a signal came.
        CheckpointError: the run's files cannot be written, or the teacher cannot teach.
        DeviceError: there is no such device.
    """
    # Imported late: Lightning Fabric takes seconds, and wrong arguments should be reported at once.
    from training.run.distributed import disband, make_fabric
    from training.run.loop import Trainer

    device = pick_device(arguments.device)
    if device.type == "cpu":
        keep_freed_memory()
    fabric = make_fabric(device, arguments.devices, checkpoint.recipe)
    fabric.launch()
    learner = _teacher(teacher, checkpoint) if teacher else None
    trainer = Trainer(checkpoint, datasets, arguments.out, fabric, learner)
    if compare:
        checkpoint.info = replace(checkpoint.info, before=trainer.validate())
    try:
        finished = trainer.run()
    except Interrupted as stop:
        raise Interrupted(f"{stop}; go on with: headstart-train resume {arguments.out}") from None
    disband(fabric)
    if fabric.is_global_zero:
        for column, before in finished.info.before.items():
            print(f"{column}: {100 * before:.1f} % before, {100 * finished.history[-1][column]:.1f} % now")
        print(f"trained {finished.step} steps in {finished.seconds:.0f} s; next: headstart-train export {arguments.out}")


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
