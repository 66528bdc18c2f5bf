"""Captured predictions as a table."""

from rich.console import RenderableType

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import class_names, example_name, printable, when
from headstart.replies.captures import CapturePage


def captures_table(page: CapturePage) -> RenderableType:
    """For every entry its id, the label that the task suggests now, how sure that is, and what was answered then."""
    table = FittedTable(
        (
            Column("capture"),
            Column("alike", number=True),
            Column("suggested", cut="end"),
            Column("sure", number=True),
            Column("answered", cut="end", goes=2),
            Column("nearest example", goes=1),
            Column("captured", goes=3),
        )
    )
    for entry in page.captures:
        nearest = ""
        if entry.nearest:
            closest = entry.nearest[0]
            nearest = f"{example_name(closest.example, closest.label, closest.file_name)} ({closest.similarity:.2f})"
        name = class_names(entry.labels) if entry.labels else printable(entry.label)
        suggested = name if entry.known else f"none of these? {name}"
        then = class_names(entry.answered.labels) if entry.answered.labels else printable(entry.answered.label)
        answered = f"{then} {entry.answered.probability:.1%}"
        alike = str(len(entry.alike)) if entry.alike else ""
        table.add_row(entry.id, alike, suggested, f"{entry.probability:.1%}", answered, nearest, when(entry.created_at))
    return table
