"""`run` and `resume`: from images to a checkpoint."""

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from models.manifest import InputSpec
from training.checkpoint import FILE_NAME, Checkpoint, CheckpointError, RunInfo
from training.commands.arguments import SubParsers, add_command, add_data, add_split, at_least
from training.data import DataError, ImageSet, load_images, read_split
from training.recipes import RECIPES
from training.train import Trainer, channel_statistics


class DeviceError(Exception):
    """The device to train on is not there."""


def add_to(commands: SubParsers) -> None:
    recipes = "\n".join(f"  {recipe.name:<26}{recipe.summary}" for recipe in RECIPES.values())
    run = add_command(commands, "run", _run, "train a backbone", f"recipes:\n{recipes}")
    run.add_argument("recipe", choices=RECIPES, metavar="RECIPE", help="see the list below")
    add_data(run, required=True)
    add_split(run)
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives checkpoint, curves and TensorBoard log")
    run.add_argument("--seed", type=at_least(0), default=1, help="of everything random (default %(default)s)")
    run.add_argument("--epochs", type=at_least(1), help="instead of the recipe's")
    _device_argument(run)

    resume = add_command(commands, "resume", _resume, "go on with an interrupted run, from its last checkpoint")
    resume.add_argument("out", type=Path, metavar="DIR", help="the --out of the run")
    add_data(resume, required=False)
    _device_argument(resume)


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


def _load(paths: Sequence[Path], classes: Sequence[str], size: int) -> ImageSet:
    return load_images(paths, classes, InputSpec(height=size, width=size))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name} cannot be used: {str(error).splitlines()[0]}") from error
    return torch.device(name)


def _device_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes CUDA where it is (default auto)")


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
