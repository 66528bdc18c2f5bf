"""`headstart quality` and `headstart compare`."""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from itertools import product
from typing import Any, cast

from headstart.cli import finding
from headstart.cli.failures import Exit
from headstart.cli.output import Output
from headstart.cli.tables.quality import comparison_table, quality_table
from headstart.cli.tables.text import printable
from headstart.client import Client
from headstart.options import Candidate
from headstart.replies.comparison import Untried


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    summary = "show how good a task is, and which examples to look at"
    finding.add_task(command("quality", quality, summary, "headstart quality birds"))

    comparing = command(
        "compare",
        compare,
        "try other solvers, options and backbones on a task's own examples; nothing is changed",
        "headstart compare birds --backbone birds@2 --solver logistic --solver ridge",
    )
    finding.add_task(comparing)
    _add_candidates(comparing)


def quality(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart quality TASK`"""
    found = client.quality(finding.task(client, args.task).id)
    output.answer(found.raw, lambda: quality_table(found))
    return Exit.DONE


def compare(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart compare TASK [--solver SOLVER]… [--backbone BACKBONE]… [--C C]… [--temperature T]…`"""
    found = client.compare(finding.task(client, args.task).id, _candidates(args))
    output.answer(found.raw, lambda: comparison_table(found))
    untried = [(number, each) for number, each in enumerate(found.candidates, 1) if isinstance(each, Untried)]
    for number, each in untried:
        output.remark(f"headstart: candidate {number}: {printable(each.detail)} ({each.code})")
    return Exit.REFUSED if untried else Exit.DONE


def _add_candidates(parser: ArgumentParser) -> None:
    """The options for the candidates of `headstart compare`."""
    group = parser.add_argument_group(
        "candidates",
        "Each option may be repeated; all combinations are tried. An option that is left\n"
        "out keeps the task's value. Without any, every solver and the other open\n"
        "backbones are tried.",
    )
    for flag, metavar, kind, what in (
        ("--backbone", "BACKBONE", str, "name@version"),
        ("--solver", "SOLVER", str, "logistic, ridge or prototype"),
        ("--C", "C", _number, "how closely the examples are followed"),
        ("--temperature", "T", _number, "how unsure the probabilities are"),
    ):
        group.add_argument(flag, metavar=metavar, type=kind, action="append", default=[], help=what)


def _number(text: str) -> float:
    """Parses a number that JSON can hold.

    Raises:
        ValueError: the text is none.
    """
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _candidates(args: Namespace) -> list[Candidate] | None:
    """Every combination of the values on the command line; None if there are none."""
    given: dict[str, list[Any]] = {name: getattr(args, name) for name in ("backbone", "solver", "C", "temperature")}
    given = {name: values for name, values in given.items() if values}
    if not given:
        return None
    found: list[Candidate] = []
    for values in product(*given.values()):
        options = dict(zip(given, values, strict=True))
        backbone = options.pop("backbone", None)
        found.append(cast("Candidate", {"options": options} if backbone is None else {"backbone": backbone, "options": options}))
    return found
