"""`search`: tries other values of a recipe's hyper-parameters, and keeps those that are best on the validation classes."""

import argparse
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from training.commands.arguments import SubParsers, add_command, at_least
from training.commands.run import add_start, list_of_recipes, starting_point
from training.commands.start import add_device, add_seed_and_changes, given, make_folder, prepare, split_file
from training.data.dataset import DataError
from training.devices import keep_freed_memory, pick_device
from training.run.checkpoint import Checkpoint
from training.run.feed import TrainingSet
from training.run.interrupt import Interrupted
from training.run.recipes import changed
from training.search.folder import kept_for
from training.search.space import Space, search_space, text_of
from training.writing import replace_text

say = partial(print, flush=True)

_EPILOG = """\
examples:
  headstart-train search quick --data photos/ --out searches/mine --minutes 60
  headstart-train search quick --data photos/ --out searches/mine --trials 30 --epochs 2 \\
    --over learning_rate=0.01..1 --over batch_size=32,64 --over label_smoothing

Trial 0 is the recipe as it is. The best trial is trained again with another seed, beside the recipe as it is.
The same command goes on with a search that was stopped or killed. More --trials or --minutes prolong one.

"""


def add_to(commands: SubParsers) -> None:
    command = add_command(
        commands, "search", _search, "search for the hyper-parameters that suit the images", _EPILOG + list_of_recipes()
    )
    add_start(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives the trials, their list and the recipe")
    limit = command.add_mutually_exclusive_group(required=True)
    limit.add_argument("--trials", type=at_least(1), metavar="N", help="trials in all")
    limit.add_argument(
        "--minutes", type=_minutes, metavar="M", help="minutes of training in all, after which no further trial begins"
    )
    command.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="NAME[=VALUES]",
        help="searches over these fields of the recipe only: LOW..HIGH, a list as 32,64, or without values the usual range "
        "(default: the learning rate, weight decay, batch size, label smoothing, mixup and weights that the recipe can use)",
    )
    command.add_argument(
        "--epochs", type=at_least(1), dest="trial_epochs", metavar="EPOCHS", help="of each trial (default: the recipe's)"
    )
    command.set_defaults(epochs=None)
    add_seed_and_changes(command)
    add_device(command)


def _minutes(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _search(arguments: argparse.Namespace) -> None:
    recipe, initial = starting_point(arguments)
    space = search_space(recipe, arguments.over)
    found = list(given(arguments.data, arguments.split, arguments.seed))
    before, datasets = prepare(arguments, found, changed(recipe, {"epochs": arguments.trial_epochs or recipe.epochs}), initial)
    if not any(data.validation for data in datasets):
        raise DataError("no dataset has validation classes to choose by; name some in a --split file")

    # Imported late: Lightning Fabric and Optuna take seconds, and wrong arguments should be reported at once.
    from training.search.runs import Runs
    from training.search.search import search
    from training.search.trials import Limit, refuse_contradictions

    device = pick_device(arguments.device)
    if device.type == "cpu":
        keep_freed_memory()
    runs = Runs(before, datasets, initial, device)
    refuse_contradictions(runs, space)
    out, limit = arguments.out, Limit(arguments.trials, arguments.minutes)
    with kept_for(out, _settings(before, datasets, space)):
        make_folder(out, found)
        say(f"searching over {', '.join(f'{name} {axis}' for name, axis in space.items())}")
        try:
            outcome = search(runs, space, out, arguments.seed, limit, say)
        except Interrupted as stop:
            raise Interrupted(f"{stop}; the same command goes on") from None
        file = out / "recipe.json"
        replace_text(file, changed(recipe, outcome.chosen).model_dump_json(indent=1) + "\n")
    for line in outcome.lines():
        say(line)
    say(f"wrote {file}; next: {_next(arguments, file, len(found))}")
    flags = [f"--set {name}={text_of(value)}" for name, value in outcome.chosen.items()]
    say(f"it is {arguments.recipe} with {' '.join(flags)}" if flags else f"it is {arguments.recipe} as it was")


def _settings(before: Checkpoint, datasets: Sequence[TrainingSet], space: Space) -> dict[str, Any]:
    """Returns everything that the result of a trial depends on, as JSON."""
    info = before.info
    return {
        "recipe": before.recipe.model_dump(mode="json"),
        "over": {name: str(axis) for name, axis in space.items()},
        "seed": info.seed,
        "initial": info.initial,
        "datasets": [
            {
                "images": [len(data.base), len(data.validation or ())],
                "train": list(about.split.train),
                "validation": list(about.split.validation),
            }
            for about, data in zip(info.datasets, datasets, strict=True)
        ],
    }


def _next(arguments: argparse.Namespace, recipe: Path, datasets: int) -> str:
    """Returns the command that trains by the recipe, on the same classes."""
    words: list[object] = ["headstart-train", "run", recipe]
    for paths in arguments.data:
        words += ["--data", *paths]
    for position in range(datasets):
        words += ["--split", split_file(arguments.out, position)]
    for flag, value in (("--init", arguments.init), ("--weights", arguments.weights), ("--input-size", arguments.input_size)):
        words += [flag, value] if value else []
    return shlex.join(map(str, [*words, "--out", Path("runs") / arguments.out.name]))
