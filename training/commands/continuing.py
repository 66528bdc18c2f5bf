"""`continue`: goes on training a backbone on new classes, and keeps what it knew.

The network before is a teacher of embeddings: each new image's embedding is held near the one that it had (`anchor_weight`). That
is learning without forgetting (`training.continual.without_forgetting`) for a backbone whose old heads are not in the bundle, and
it needs no old image. Where some are still there, they are learned from again with the new ones (`training.continual.rehearsal`).
"""

import argparse
from pathlib import Path

from training.commands.arguments import SubParsers, add_command, add_datasets, at_least
from training.commands.start import SPLIT_HELP, add_settings, begin, given, refuse_taken, settings, train
from training.run.initial import Initial, initial_network
from training.run.recipes import Recipe, RecipeError, changed

_KEEP = 0.8  # what the recipe photos-efficientnet-lite0 holds ImageNet's knowledge by
_FEWER_CHANGES = 0.1  # of the rate that a recipe trains random weights by
_OLD_PER_CLASS = 20


def add_to(commands: SubParsers) -> None:
    command = add_command(commands, "continue", _continue, "go on training a backbone on new classes, and keep what it knew")
    command.add_argument("source", metavar="SOURCE", help="the folder of a bundle or of a finished run, or a shipped bundle's id")
    add_datasets(command, "the new classes; give it again for another dataset, which gets a head of its own")
    command.add_argument("--split", action="append", default=[], metavar="FILE", help=SPLIT_HELP)
    command.add_argument(
        "--old-data",
        type=Path,
        nargs="+",
        action="append",
        default=[],
        metavar="PATH",
        help="images that the backbone was trained on, as --data, if you still have them: some are learned from again, and its "
        "accuracy on their validation classes is measured before and after",
    )
    command.add_argument("--old-split", action="append", default=[], metavar="FILE", help="as --split, once per --old-data")
    command.add_argument(
        "--old-per-class",
        type=at_least(2),
        default=_OLD_PER_CLASS,
        metavar="N",
        help="images of each old class to learn from again (default %(default)s)",
    )
    command.add_argument(
        "--keep",
        type=float,
        default=_KEEP,
        metavar="WEIGHT",
        help="how firmly embeddings are held where the network put them before; 0 lets them go (default %(default)s)",
    )
    add_settings(command)


def _continue(arguments: argparse.Namespace) -> None:
    refuse_taken(arguments.out)
    initial = initial_network(arguments.source)
    recipe = changed(continued(initial, arguments.keep), settings(arguments))
    new = given(arguments.data, arguments.split, arguments.seed)
    old = given(arguments.old_data, arguments.old_split, arguments.seed, arguments.old_per_class, "--old-data")
    checkpoint, datasets = begin(arguments, [*new, *old], recipe, initial)
    train(checkpoint, datasets, arguments, compare=True)


def continued(initial: Initial, keep: float) -> Recipe:
    """Returns the recipe that a network was trained by, as it goes on with other classes.

    The rate is a tenth of the recipe's if that began from random weights, since so high a rate would undo them. Batch
    normalisation keeps its statistics: those of a batch of new images would move every embedding, and the anchor would then pull
    at weights that never moved.

    Raises:
        RecipeError: the recipe is not known, or the weight is negative.
    """
    recipe = initial.recipe
    if recipe is None:
        raise RecipeError(f"{initial.origin} was trained by no recipe of this release; headstart-train run RECIPE --init goes on")
    rate = recipe.learning_rate * (1.0 if recipe.anchor_weight else _FEWER_CHANGES)
    architecture = initial.architecture
    network = {"network": architecture.name, "widths": architecture.widths, "input_size": initial.input_size}
    return changed(recipe, {**network, "fixed_statistics": True, "anchor_weight": keep, "learning_rate": rate})
