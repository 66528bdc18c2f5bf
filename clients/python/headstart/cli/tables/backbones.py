"""Backbones as a table."""

from collections.abc import Sequence

from rich.console import RenderableType

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import printable
from headstart.replies.backbones import Backbone


def backbones_table(found: Sequence[Backbone]) -> RenderableType:
    """One line for each backbone."""
    table = FittedTable(
        (
            Column("backbone"),
            Column("", goes=4),
            Column("engine", goes=2),
            Column("tasks", number=True, goes=3),
            Column("embedding", number=True, goes=1),
            Column("trained on", cut="end", goes=5),
        )
    )
    for backbone in found:
        states = {"default": backbone.default, "open": backbone.open and not backbone.default, "missing": backbone.missing}
        state = ", ".join(name for name, holds in states.items() if holds)
        engines = ", ".join(backbone.engines)
        numbers = (str(backbone.active_tasks), str(backbone.embedding_dim or ""))
        table.add_row(printable(backbone.id), state, engines, *numbers, printable(backbone.dataset or ""))
    return table
