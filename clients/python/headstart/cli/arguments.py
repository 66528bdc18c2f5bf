"""The command line, as `--help` explains it."""

import argparse
import math
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from headstart.cli import commands, finding, predicting, refreshing, teaching
from headstart.cli.failures import Exit
from headstart.cli.output import Output
from headstart.client import DEFAULT_URL, Client
from headstart.version import VERSION

Command = Callable[[Client, Namespace, Output], Exit]
SubParsers: TypeAlias = "argparse._SubParsersAction[ArgumentParser]"

_CLOSING = f"""\
example:
  headstart create birds photos/birds     of photos/birds/robin/*.jpg,
                                          photos/birds/wren/*.jpg, ...
  headstart predict birds new/*.jpg

environment:
  HEADSTART_URL    the server's address; --url goes before it
  HEADSTART_TOKEN  sent as a bearer token, where a proxy wants one

exit codes:
  {Exit.DONE}    done
  {Exit.REFUSED}    the server refused the request, or could not read some of the images
       (the others are answered)
  {Exit.MISUSED}    the command line cannot be carried out, or a file or folder cannot be
       used
  {Exit.UNREACHABLE}    no Headstart server answered
  {Exit.STOPPED}  you stopped it
  {Exit.CLOSED}  nobody reads its output any more
"""


def parse_arguments(arguments: Sequence[str] | None) -> Namespace:
    """The command line's options; `run` holds the sub-command's function."""
    return _parser().parse_args(_spelled_out(arguments), Namespace(url=None, json=False))


def _spelled_out(arguments: Sequence[str] | None) -> list[str]:
    """The arguments with the share that `--unsure` has where it stands alone: argparse would take a file for it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return [
        f"{predicting.UNSURE}={predicting.DEFAULT_UNSURE}"
        if argument == predicting.UNSURE and not _is_number(following)
        else argument
        for argument, following in pairwise([*given, ""])
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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

    teaching.add_to(command)
    predicting.add_to(command)
    command("list", commands.list_tasks, "list the tasks, the newest first", "headstart list --json")

    show = command("show", commands.show, "show a task with its classes", "headstart show birds")
    show.add_argument("task", metavar="TASK", help=finding.TASK)

    quality = command(
        "quality", commands.quality, "tell how good a task is, and which examples to look at", "headstart quality birds"
    )
    quality.add_argument("task", metavar="TASK", help=finding.TASK)

    compare = command(
        "compare",
        commands.compare,
        "try other solvers, options and backbones on a task's own examples; nothing is changed",
        "headstart compare birds --backbone birds@2 --solver logistic --solver ridge",
    )
    compare.add_argument("task", metavar="TASK", help=finding.TASK)
    _add_candidates(compare)

    history = command("history", commands.history, "list a task's versions, the newest first", "headstart history birds")
    history.add_argument("task", metavar="TASK", help=finding.TASK)

    rollback = command("rollback", commands.rollback, "let another version of a task answer", "headstart rollback birds 3")
    rollback.add_argument("task", metavar="TASK", help=finding.TASK)
    rollback.add_argument("version", metavar="VERSION", type=int, help="one of those that `headstart history` lists")

    rename = command("rename", commands.rename, "give a task another name; its id stays", "headstart rename birds garden-birds")
    rename.add_argument("task", metavar="TASK", help=finding.TASK)
    rename.add_argument("name", metavar="NAME", help="what no other task is called")

    delete = command("delete", commands.delete, "remove a task with all its images", "headstart delete birds")
    delete.add_argument("task", metavar="TASK", help=finding.TASK)
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

    refreshing.add_to(command)
    return parser


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


def _everywhere() -> ArgumentParser:
    """Options that may stand before the sub-command or after it."""
    # A default here would let the sub-command's parser overwrite what stood before it.
    options = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    options.add_argument("--url", metavar="URL", help=f"the server's address (HEADSTART_URL, or else {DEFAULT_URL})")
    options.add_argument("--json", action="store_true", help="print the API's JSON on stdout, and nothing else")
    options.add_argument("--version", action="version", version=f"headstart {VERSION}", help="print the version and stop")
    return options
