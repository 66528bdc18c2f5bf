"""Events as lines and as a table."""

from collections.abc import Sequence

from rich.console import RenderableType

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import percent, printable, when
from headstart.replies.events import Event


def event_line(event: Event) -> str:
    """One event in a line."""
    return f"{when(event.created_at)}  {printable(event.type)}  {event.task}  {_told(event)}".rstrip()


def events_table(found: Sequence[Event]) -> RenderableType:
    """One line for each event, the oldest first."""
    if not found:
        return "Nothing has happened."
    table = FittedTable((Column("when"), Column("event"), Column("task"), Column("told", cut="end"), Column("id", goes=1)))
    for event in found:
        table.add_row(when(event.created_at), printable(event.type), event.task, _told(event), event.id)
    return table


def _told(event: Event) -> str:
    """The facts of an event in a few words."""
    if event.captures is not None:
        return f"{event.captures} captures"
    if event.version is None:
        return ""
    after = "" if event.version_before is None else f" after {event.version_before}"
    change = f", {printable(event.change)}" if event.change else ""
    fell = f"{percent(event.accuracy_before)} to " if event.accuracy_before is not None else ""
    accuracy = "" if event.accuracy is None else f", {fell}{percent(event.accuracy)}"
    return f"version {event.version}{after}{change}{accuracy}"
