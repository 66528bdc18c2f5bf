"""One function for each sub-command that is in no other file."""

from argparse import Namespace
from itertools import product
from typing import Any, cast

from headstart.cli import finding, tables
from headstart.cli.failures import Exit
from headstart.cli.output import Output
from headstart.client import Client
from headstart.options import Candidate
from headstart.replies.comparison import Untried


def list_tasks(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - every command is called alike
    """`headstart list`"""
    found = list(client.tasks())
    output.answer({"tasks": [task.raw for task in found], "next_cursor": None}, lambda: tables.tasks(found))
    return Exit.DONE


def show(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart show TASK`"""
    task = finding.task(client, args.task)
    output.answer(task.raw, lambda: tables.task(task))
    return Exit.DONE


def quality(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart quality TASK`"""
    found = client.quality(finding.task(client, args.task).id)
    output.answer(found.raw, lambda: tables.quality(found))
    return Exit.DONE


def compare(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart compare TASK [--solver SOLVER]… [--backbone BACKBONE]… [--C C]… [--temperature T]…`"""
    found = client.compare(finding.task(client, args.task).id, _candidates(args))
    output.answer(found.raw, lambda: tables.comparison(found))
    untried = [(number, each) for number, each in enumerate(found.candidates, 1) if isinstance(each, Untried)]
    for number, each in untried:
        output.remark(f"headstart: candidate {number}: {tables.printable(each.detail)} ({each.code})")
    return Exit.REFUSED if untried else Exit.DONE


def history(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart history TASK`"""
    versions = client.versions(finding.task(client, args.task).id)
    output.answer({"versions": [version.raw for version in versions]}, lambda: tables.versions(versions))
    return Exit.DONE


def rename(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart rename TASK NAME`"""
    task = finding.task(client, args.task)
    finding.refuse_twin(client, args.name, "Choose another name.", besides=task.id)
    renamed = client.rename(task.id, args.name)
    output.answer(renamed.raw, lambda: f"{tables.printable(task.name)} is called {tables.printable(renamed.name)} now.")
    return Exit.DONE


def rollback(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart rollback TASK VERSION`"""
    task = client.activate(finding.task(client, args.task).id, args.version)
    output.answer(task.raw, lambda: tables.changed(task, "Rolled back"))
    return Exit.DONE


def delete(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart delete TASK`"""
    task = finding.task(client, args.task)
    called = f"{tables.printable(task.name)} ({task.id})"
    if not args.yes and not output.confirm(f"Delete {called} with all its versions and {task.examples} images, for good?"):
        output.remark("Nothing was deleted.")
        return Exit.STOPPED
    client.delete(task.id)
    output.done(f"Deleted {called}.")
    return Exit.DONE


def list_backbones(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - every command is called alike
    """`headstart backbones`"""
    found = client.backbones.list()
    output.answer({"backbones": [backbone.raw for backbone in found]}, lambda: tables.backbones(found))
    for backbone in found:
        refuses_new = backbone.default and not backbone.open
        if backbone.unserved_tasks or refuses_new:
            new = " and new tasks" if refuses_new else ""
            output.remark(
                f"headstart: {tables.printable(backbone.id)} is missing or damaged on the server: {backbone.unserved_tasks} "
                f"tasks that use it{new} are refused. Bring its folder back, then `headstart backbones open` it."
            )
    return Exit.DONE


def open_backbone(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones open BACKBONE`"""
    backbone = client.backbones.open(args.backbone)
    output.answer(backbone.raw, lambda: tables.backbones([backbone]))
    return Exit.DONE


def make_default(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones default BACKBONE`"""
    backbone = client.backbones.make_default(args.backbone)
    output.answer(backbone.raw, lambda: tables.backbones([backbone]))
    return Exit.DONE


def close_backbone(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones close BACKBONE`"""
    client.backbones.close(args.backbone)
    output.done(f"Closed {tables.printable(args.backbone)}.")
    return Exit.DONE


def _candidates(args: Namespace) -> list[Candidate] | None:
    """Every combination of the values that the command line gives; None if it gives none."""
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
