"""Tasks, their examples and their versions as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import class_name, class_names, percent, printable, when
from headstart.replies.tasks import Example, Task, Version


def tasks_table(found: Sequence[Task]) -> RenderableType:
    """One line for each task."""
    if not found:
        return "There are no tasks yet. `headstart create NAME FOLDER` makes one from a folder with a sub-folder for each class."
    table = FittedTable(
        (
            Column("task"),
            Column("name", cut="end"),
            Column("classes", number=True, goes=2),
            Column("examples", number=True, goes=3),
            Column("changed", goes=1),
        )
    )
    for task in found:
        day = f"{task.updated_at.astimezone():%Y-%m-%d}"
        table.add_row(task.id, printable(task.name), str(len(task.classes)), str(task.examples), day)
    return table


def task_table(shown: Task) -> RenderableType:
    """One task with its classes."""
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("task", shown.id),
        ("name", printable(shown.name)),
        ("version", str(shown.version)),
        ("backbone", shown.backbone),
        *((("labels", "any number an image"),) if shown.labels == "multiple" else ()),
        ("head", f"{shown.head.solver}, C = {shown.head.C:g}, temperature = {shown.head.temperature:g}"),
        *((("class names", f"weight = {shown.name_weight:g}"),) if shown.name_weight is not None else ()),
        ("created", when(shown.created_at)),
        ("changed", when(shown.updated_at)),
    ):
        facts.add_row(name, value)
    classes = FittedTable((Column("class", cut="end"), Column("examples", number=True)))
    for size in shown.classes:
        classes.add_row(printable(size.label), str(size.examples))
    if shown.negatives:
        classes.add_row(class_name(None), str(shown.negatives))
    return Group(facts, classes)


def changed_task(now: Task, what: str) -> RenderableType:
    """A task after a change, and how to try it."""
    milliseconds = f" in {now.timing_ms['total']:.0f} ms" if "total" in now.timing_ms else ""
    return Group(
        f"{what}{milliseconds}: version {now.version} of {printable(now.name)} answers now.",
        task_table(now),
        f"Try it: headstart predict {now.id} FILE",
    )


def task_summary(shown: Task) -> str:
    """One task in a line, for a list to choose from."""
    return f"{shown.id}  {shown.examples} examples in {len(shown.classes)} classes, {when(shown.updated_at)}"


def examples_table(found: Sequence[Example]) -> RenderableType:
    """One line for each example."""
    table = FittedTable(
        (
            Column("example"),
            Column("class", cut="end"),
            Column("file", cut="start", goes=4),
            Column("type", goes=2),
            Column("bytes", number=True, goes=1),
            Column("added", goes=3),
        )
    )
    for each in found:
        file = printable(each.file_name or "")
        table.add_row(each.id, class_names(each.classes), file, each.media_type, str(each.bytes), when(each.created_at))
    return table


def versions_table(found: Sequence[Version]) -> RenderableType:
    """One line for each version of a task."""
    table = FittedTable(
        (
            Column("version", number=True),
            Column(""),
            Column("change"),
            Column("classes", number=True, goes=1),
            Column("examples", number=True),
            Column("accuracy", number=True),
            Column("backbone", cut="end", goes=2),
            Column("made"),
        )
    )
    for version in found:
        examples = sum(size.examples for size in version.classes)
        table.add_row(
            str(version.version),
            "active" if version.active else "",
            version.change,
            str(len(version.classes)),
            str(examples),
            percent(version.accuracy),
            version.backbone,
            when(version.created_at),
        )
    return table
