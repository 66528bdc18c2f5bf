"""The parser of the command line, with the texts of `--help`."""

import argparse
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from headstart.cli.commands import (
    agents,
    backbones,
    events,
    exporting,
    importing,
    login,
    predicting,
    quality,
    refreshing,
    reviewing,
    scoring,
    tasks,
    teaching,
)
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
  HEADSTART_URL    the server's address, unless --url names it
  HEADSTART_TOKEN  the key of a server that asks for one, unless --token gives it
                   or `headstart login` keeps it; sent as a bearer token

exit codes:
  {Exit.DONE}    done
  {Exit.REFUSED}    the server refused the request, or could not read some of the images
       (the others have answers)
  {Exit.MISUSED}    the command line cannot be carried out, or a file or folder cannot be
       used
  {Exit.UNREACHABLE}    no Headstart server answered
  {Exit.STOPPED}  you stopped it
  {Exit.CLOSED}  its output was closed before it ended
"""


def parse_arguments(arguments: Sequence[str] | None) -> Namespace:
    """Parses the command line; `run` of the result is the sub-command's function."""
    return _parser().parse_args(_spelled_out(arguments), Namespace(url=None, token=None, json=False))


def _spelled_out(arguments: Sequence[str] | None) -> list[str]:
    """Adds the default value to an `--unsure` that has none: argparse would take the next file for it."""
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

    for group in (
        teaching,
        predicting,
        scoring,
        exporting,
        importing,
        reviewing,
        tasks,
        quality,
        backbones,
        refreshing,
        events,
        agents,
        login,
    ):
        group.add_to(command)
    return parser


def _everywhere() -> ArgumentParser:
    """Options that may stand before or after the sub-command."""
    # With a default, the sub-command's parser would overwrite an option that stands before it.
    options = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    options.add_argument("--url", metavar="URL", help=f"the server's address (HEADSTART_URL, or else {DEFAULT_URL})")
    options.add_argument(
        "--token",
        metavar="KEY",
        help="the server's key (HEADSTART_TOKEN; other users of this machine may see what is given here)",
    )
    options.add_argument("--json", action="store_true", help="print the API's JSON on stdout, and nothing else")
    options.add_argument("--version", action="version", version=f"headstart {VERSION}", help="print the version and stop")
    return options
