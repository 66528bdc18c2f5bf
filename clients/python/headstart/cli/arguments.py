"""The command line, as `--help` explains it."""

import argparse
import math
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from headstart.cli import commands, refreshing
from headstart.cli.failures import Exit
from headstart.cli.output import Output
from headstart.client import DEFAULT_URL, Client
from headstart.version import VERSION

Command = Callable[[Client, Namespace, Output], Exit]
SubParsers: TypeAlias = "argparse._SubParsersAction[ArgumentParser]"

_TASK = "the task's id, or its name where no other task has the same"

_CLOSING = f"""\
example:
  headstart create birds photos/birds      photos/birds/robin/*.jpg, photos/birds/wren/*.jpg, ...
  headstart predict birds new/*.jpg

environment:
  HEADSTART_URL   the server's address; --url goes before it

exit codes:
  {Exit.DONE}    done
  {Exit.REFUSED}    the server refused the request, or could not read some of the images (the others are answered)
  {Exit.MISUSED}    the command line cannot be carried out, or a file or folder cannot be used
  {Exit.UNREACHABLE}    no Headstart server answered
  {Exit.STOPPED}  you stopped it
  {Exit.CLOSED}  nobody reads its output any more
"""


def parse_arguments(arguments: Sequence[str] | None) -> Namespace:
    """The command line's options; `run` holds the sub-command's function."""
    return _parser().parse_args(arguments, Namespace(url=None, json=False))


def _parser() -> ArgumentParser:
    everywhere = _everywhere()
    parser = ArgumentParser(
        prog="headstart",
        description="A few labelled images in, a working classifier out.",
        epilog=_CLOSING,
        parents=[everywhere],
        formatter_class=RawDescriptionHelpFormatter,
    )
    everything = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Command, summary: str, example: str, group: SubParsers = everything) -> ArgumentParser:
        added = group.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example:\n  {example}",
            parents=[everywhere],
            formatter_class=RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    create = command("create", commands.create, "make a classifier of a folder of images", "headstart create birds photos/birds")
    create.add_argument("name", metavar="NAME", help="what to call the new task")
    _add_folder(create)

    add = command("add", commands.add, "teach a task more, of its classes or of new ones", "headstart add birds photos/more")
    add.add_argument("task", metavar="TASK", help=_TASK)
    _add_folder(add)

    predict = command("predict", commands.predict, "say what images show", "headstart predict birds new/1.jpg new/2.jpg more/")
    predict.add_argument("task", metavar="TASK", help=_TASK)
    files = "an image, or a folder for all images in it and below, by path; the answers keep this order"
    predict.add_argument("files", metavar="FILE", nargs="+", type=Path, help=files)

    predict.add_argument(
        "--ignore-unknown", action="store_true", help="do not say which images are of none of the task's classes"
    )
    predict.add_argument(
        "--transductive",
        action="store_true",
        help="judge the images in one another's light: better where they are many and examples few",
    )

    many = command(
        "predict-many",
        commands.predict_many,
        "say what images show by all tasks at once, or by some",
        "headstart predict-many new/*.jpg --task birds --task weather",
    )
    many.add_argument("files", metavar="FILE", nargs="+", type=Path, help=files)
    many.add_argument(
        "--task", metavar="TASK", action="append", default=[], dest="tasks", help=f"{_TASK}; to be repeated (default: every task)"
    )

    command("list", commands.list_tasks, "list the tasks, the newest first", "headstart list --json")

    show = command("show", commands.show, "show a task with its classes", "headstart show birds")
    show.add_argument("task", metavar="TASK", help=_TASK)

    examples = command("examples", commands.examples, "list a task's examples, the oldest first", "headstart examples birds")
    examples.add_argument("task", metavar="TASK", help=_TASK)

    quality = command(
        "quality", commands.quality, "tell how good a task is, and which examples to look at", "headstart quality birds"
    )
    quality.add_argument("task", metavar="TASK", help=_TASK)

    compare = command(
        "compare",
        commands.compare,
        "try other solvers, options and backbones on a task's own examples; nothing is changed",
        "headstart compare birds --backbone birds@2 --solver logistic --solver ridge",
    )
    compare.add_argument("task", metavar="TASK", help=_TASK)
    _add_candidates(compare)

    history = command("history", commands.history, "list a task's versions, the newest first", "headstart history birds")
    history.add_argument("task", metavar="TASK", help=_TASK)

    rollback = command("rollback", commands.rollback, "let another version of a task answer", "headstart rollback birds 3")
    rollback.add_argument("task", metavar="TASK", help=_TASK)
    rollback.add_argument("version", metavar="VERSION", type=int, help="one of those that `headstart history` lists")

    forget = command(
        "forget",
        commands.forget,
        "remove an example from a task and from its history, for good",
        "headstart forget birds example_01",
    )
    forget.add_argument("task", metavar="TASK", help=_TASK)
    forget.add_argument("example", metavar="EXAMPLE", help="the example's id; `headstart examples TASK` lists those there are")
    forget.add_argument("--yes", action="store_true", help="do not ask")

    delete = command("delete", commands.delete, "remove a task with all its images", "headstart delete birds")
    delete.add_argument("task", metavar="TASK", help=_TASK)
    delete.add_argument("--yes", action="store_true", help="do not ask")

    summary = "list the bundles of the server; open, close or choose one"
    backbones = command("backbones", commands.list_backbones, summary, "headstart backbones open birds@2")
    actions = backbones.add_subparsers(title="instead of listing", metavar="ACTION")
    for name, run, does in (
        ("open", commands.open_backbone, "have the server open a bundle that is in its folders"),
        ("default", commands.make_default, "give new tasks an open backbone"),
        ("close", commands.close_backbone, "close a backbone that no task uses"),
    ):
        action = command(name, run, does, f"headstart backbones {name} birds@2", actions)
        action.add_argument("backbone", metavar="BACKBONE", help="name@version")

    _add_refreshes(command)
    return parser


def _add_folder(parser: ArgumentParser) -> None:
    """Where labelled images come from."""
    folder = "a folder with a folder for each class, named as the class, with its images inside"
    parser.add_argument("folder", metavar="FOLDER", type=Path, help=folder)
    parser.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be read, and list them")


def _add_candidates(parser: ArgumentParser) -> None:
    """What `headstart compare` tries."""
    group = parser.add_argument_group(
        "candidates",
        "Each may be given several times, and all combinations are tried; what is left out stays as it is. Without any, the "
        "three solvers are tried, and the other backbones that are open.",
    )
    for flag, metavar, kind, what in (
        ("--backbone", "BACKBONE", str, "name@version"),
        ("--solver", "SOLVER", str, "logistic, ridge or prototype"),
        ("--C", "C", _number, "how closely the examples are followed"),
        ("--temperature", "T", _number, "how unsure the probabilities are"),
    ):
        group.add_argument(flag, metavar=metavar, type=kind, action="append", default=[], help=what)


def _number(text: str) -> float:
    """A number that JSON can hold; ValueError if it is none."""
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _add_refreshes(command: Callable[..., ArgumentParser]) -> None:
    """The commands that move tasks onto another bundle; `command` adds one."""
    moving = command(
        "refresh",
        refreshing.refresh,
        "move tasks onto another bundle, unless they fall by too much there or nothing can tell",
        "headstart refresh birds@2 --max-drop 0.02",
    )
    moving.add_argument("backbone", metavar="BACKBONE", help="name@version of the bundle to move to")
    moving.add_argument(
        "--task", metavar="TASK", action="append", default=[], dest="tasks", help=f"{_TASK}; to be repeated (default: every task)"
    )
    drop = "how far a task's accuracy may fall, as a share; one that falls further stays, at 1 none (default %(default)s)"
    moving.add_argument("--max-drop", metavar="SHARE", type=float, default=0.02, help=drop)

    summary = "list the refreshes; watch, pause, resume, cancel or roll back one"
    refreshes = command("refreshes", refreshing.list_refreshes, summary, "headstart refreshes follow refresh_01")
    actions = refreshes.add_subparsers(title="instead of listing", metavar="ACTION")
    for name, run, does in (
        ("show", refreshing.show, "show how far a refresh is, and tasks before and after"),
        ("tasks", refreshing.tasks, "list every task of a refresh and what became of it"),
        ("follow", refreshing.follow, "watch a refresh until it ends"),
        ("pause", refreshing.pause, "pause a refresh"),
        ("resume", refreshing.resume, "go on with a paused refresh"),
        ("cancel", refreshing.cancel, "cancel a refresh; what was moved stays so"),
        ("rollback", refreshing.rollback, "return every task that a refresh moved"),
    ):
        action = command(name, run, does, f"headstart refreshes {name} refresh_01", actions)
        action.add_argument("refresh", metavar="REFRESH", help="the refresh's id; `headstart refreshes` lists those there are")


def _everywhere() -> ArgumentParser:
    """Options that may stand before the sub-command or after it."""
    # A default here would let the sub-command's parser overwrite what stood before it.
    options = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    options.add_argument("--url", metavar="URL", help=f"the server's address (HEADSTART_URL, or else {DEFAULT_URL})")
    options.add_argument("--json", action="store_true", help="print the API's JSON on stdout, and nothing else")
    options.add_argument("--version", action="version", version=f"headstart {VERSION}", help="print the version and stop")
    return options
