"""`headstart backbones`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from headstart.cli.failures import Exit
from headstart.cli.output import Output
from headstart.cli.tables.backbones import backbones_table
from headstart.cli.tables.text import printable
from headstart.client import Client


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    summary = "list the bundles of the server; open, close or choose one"
    backbones = command("backbones", list_backbones, summary, "headstart backbones open birds@2")
    actions = backbones.add_subparsers(title="instead of listing", metavar="ACTION")
    for name, run, does in (
        ("open", open_backbone, "open a bundle that is in the server's folders"),
        ("default", make_default, "give new tasks an open backbone"),
        ("close", close_backbone, "close a backbone that no task uses"),
    ):
        action = command(name, run, does, f"headstart backbones {name} birds@2", actions)
        action.add_argument("backbone", metavar="BACKBONE", help="name@version")


def list_backbones(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - every command is called alike
    """`headstart backbones`"""
    found = client.backbones.list()
    output.answer({"backbones": [backbone.raw for backbone in found]}, lambda: backbones_table(found))
    for backbone in found:
        refuses_new = backbone.default and not backbone.open
        if backbone.unserved_tasks or refuses_new:
            new = " and new tasks" if refuses_new else ""
            name = printable(backbone.id)
            output.remark(
                f"headstart: {name} is missing or damaged on the server: {backbone.unserved_tasks} "
                f"tasks that use it{new} are refused. Bring its folder back, then run `headstart backbones open {name}`."
            )
    return Exit.DONE


def open_backbone(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones open BACKBONE`"""
    backbone = client.backbones.open(args.backbone)
    output.answer(backbone.raw, lambda: backbones_table([backbone]))
    return Exit.DONE


def make_default(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones default BACKBONE`"""
    backbone = client.backbones.make_default(args.backbone)
    output.answer(backbone.raw, lambda: backbones_table([backbone]))
    return Exit.DONE


def close_backbone(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart backbones close BACKBONE`"""
    client.backbones.close(args.backbone)
    output.done(f"Closed {printable(args.backbone)}.")
    return Exit.DONE
