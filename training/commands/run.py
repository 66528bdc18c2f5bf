"""`run` and `resume`: train on images and write a checkpoint."""

import argparse
from pathlib import Path

from training.commands.arguments import SubParsers, add_command, add_datasets, at_least
from training.commands.datasets import places_of
from training.commands.start import (
    SPLIT_HELP,
    add_device,
    add_devices,
    add_settings,
    begin,
    given,
    load_set,
    refuse_taken,
    settings,
    train,
)
from training.data.dataset import DataError
from training.run.checkpoint import Checkpoint, CheckpointError
from training.run.initial import Initial, initial_network
from training.run.recipes import RECIPES, Recipe, RecipeError, changed, find_recipe


def add_to(commands: SubParsers) -> None:
    run = add_command(commands, "run", _run, "train a backbone", list_of_recipes())
    add_start(run)
    add_settings(run)
    run.add_argument("--teacher", type=Path, metavar="DIR", help="a finished run on the same data to distil from")

    resume = add_command(commands, "resume", _resume, "go on with an interrupted run, from its last checkpoint")
    resume.add_argument("out", type=Path, metavar="DIR", help="the --out of the run")
    add_datasets(resume, "default: where the run found them", required=False)
    resume.add_argument("--teacher", type=Path, metavar="DIR", help="default: where the run found it")
    add_device(resume)
    add_devices(resume)


def list_of_recipes() -> str:
    """Returns the end of a command's help."""
    recipes = "\n".join(f"  {recipe.name:<26}{recipe.summary}" for recipe in RECIPES.values())
    return f"recipes:\n{recipes}"


def add_start(command: argparse.ArgumentParser) -> None:
    """Adds the recipe, the data and the initial network."""
    command.add_argument("recipe", metavar="RECIPE", help="see the list below; or a recipe's JSON file")
    add_datasets(command, "give it again for another dataset, which is trained together with the first, with a head of its own")
    command.add_argument("--split", action="append", metavar="FILE", default=[], help=SPLIT_HELP)
    command.add_argument(
        "--input-size", type=at_least(16), metavar="PIXELS", help="side of the network's input (default: the recipe's)"
    )
    command.add_argument(
        "--init",
        metavar="NETWORK",
        help="start from efficientnet-lite0, torchvision:NAME, timm:NAME, the folder of a finished run or of a bundle, or a "
        "shipped bundle's id, in place of the recipe's network; such weights need a lower learning rate, as "
        "--set learning_rate=0.01",
    )
    command.add_argument(
        "--weights", metavar="NAME", help="for --init torchvision:… or timm:…: DEFAULT, another name, a file, or none"
    )


def _run(arguments: argparse.Namespace) -> None:
    refuse_taken(arguments.out)
    recipe, initial = starting_point(arguments)
    found = list(given(arguments.data, arguments.split, arguments.seed))
    checkpoint, datasets = begin(arguments, found, recipe, initial, arguments.teacher)
    train(checkpoint, datasets, arguments, arguments.teacher)


def _resume(arguments: argparse.Namespace) -> None:
    checkpoint = Checkpoint.load(arguments.out)
    known = checkpoint.info.datasets
    places = places_of(arguments.data, known)
    datasets = [
        load_set(paths, data.split, checkpoint.recipe, arguments.broken_share, data.per_class)
        for paths, data in zip(places, known, strict=True)
    ]
    for found, data in zip(datasets, known, strict=True):
        if len(found.base) != data.images:
            raise DataError(f"the run began with {data.images} base images; now there are {len(found.base)}")
    if arguments.teacher and not checkpoint.info.teacher:
        raise CheckpointError(f"{arguments.out} began without a teacher, so it cannot go on with one")
    taught_by = arguments.teacher or checkpoint.info.teacher
    train(checkpoint, datasets, arguments, Path(taught_by) if taught_by else None)


def starting_point(arguments: argparse.Namespace) -> tuple[Recipe, Initial | None]:
    """Returns the recipe, as changed by the arguments, and the network to start from.

    Raises:
        RecipeError: there is no such recipe, or it cannot be changed so.
        PretrainedError, CheckpointError, BundleError: the network cannot be started from.
    """
    if arguments.weights and not arguments.init:
        raise RecipeError("--weights belong to --init, which was not given")
    recipe = find_recipe(arguments.recipe)
    initial = initial_network(arguments.init, arguments.weights, arguments.input_size) if arguments.init else None
    changes: dict[str, object] = {}
    if initial:
        changes |= {"network": initial.architecture.name, "widths": initial.architecture.widths}
        if initial.architecture.name != recipe.network:  # else the recipe knows the size that it needs
            changes["input_size"] = initial.input_size
    changes |= settings(arguments)
    if arguments.input_size:
        changes["input_size"] = arguments.input_size
    return changed(recipe, changes), initial
