"""The API's answers as people read them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from headstart.predictions import ManyPredictions, Predictions, Unreadable
from headstart.replies import Backbone, Example, Task, Version


def tasks(found: Sequence[Task]) -> RenderableType:
    """One line for each task."""
    if not found:
        return "There are no tasks yet. `headstart create NAME FOLDER` makes one of a folder with a folder per class."
    table = _table("task", "name", "classes", "examples", "changed", numbers={"classes", "examples"})
    for task in found:
        day = f"{task.updated_at.astimezone():%Y-%m-%d}"
        table.add_row(task.id, printable(task.name), str(len(task.classes)), str(task.examples), day)
    return table


def task(shown: Task) -> RenderableType:
    """One task with its classes."""
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("task", shown.id),
        ("name", printable(shown.name)),
        ("version", str(shown.version)),
        ("backbone", shown.backbone),
        ("head", f"{shown.head.solver}, C = {shown.head.C:g}, temperature = {shown.head.temperature:g}"),
        ("created", _when(shown.created_at)),
        ("changed", _when(shown.updated_at)),
    ):
        facts.add_row(name, value)
    classes = _table("class", "examples", numbers={"examples"})
    for size in shown.classes:
        classes.add_row(printable(size.label), str(size.examples))
    return Group(facts, classes)


def changed(now: Task, what: str) -> RenderableType:
    """A task after a change, and what to do with it."""
    milliseconds = f" in {now.timing_ms['total']:.0f} ms" if "total" in now.timing_ms else ""
    return Group(
        f"{what}{milliseconds}: version {now.version} of {printable(now.name)} answers now.",
        task(now),
        f"Try it: headstart predict {now.id} FILE",
    )


def examples(found: Sequence[Example]) -> RenderableType:
    """One line for each example."""
    table = _table("example", "class", "type", "bytes", "added", numbers={"bytes"})
    for each in found:
        table.add_row(each.id, printable(each.label), each.media_type, str(each.bytes), _when(each.created_at))
    return table


def versions(found: Sequence[Version]) -> RenderableType:
    """A task's history."""
    table = _table("version", "", "change", "classes", "examples", "backbone", "made", numbers={"version", "classes", "examples"})
    for version in found:
        examples = sum(size.examples for size in version.classes)
        table.add_row(
            str(version.version),
            "active" if version.active else "",
            version.change,
            str(len(version.classes)),
            str(examples),
            version.backbone,
            _when(version.created_at),
        )
    return table


def backbones(found: Sequence[Backbone]) -> RenderableType:
    """One line for each backbone."""
    table = _table("backbone", "", "engine", "tasks", "embedding", "trained on", numbers={"tasks", "embedding"})
    for backbone in found:
        state = "default" if backbone.default else "open" if backbone.open else ""
        engines = ", ".join(backbone.engines)
        numbers = (str(backbone.active_tasks), str(backbone.embedding_dim))
        table.add_row(printable(backbone.id), state, engines, *numbers, printable(backbone.dataset))
    return table


def predictions(files: Iterable[Path], answers: Predictions) -> RenderableType:
    """What every image was called, how sure that is, and what it would be otherwise."""
    table = _table("image", "label", "sure", "or else", numbers={"sure"})
    for file, result in zip(files, answers, strict=True):
        if isinstance(result, Unreadable):
            table.add_row(printable(str(file)), "unreadable", "", printable(result.detail))
            continue
        _, *others = result.scores.items()
        or_else = f"{printable(others[0][0])} {others[0][1]:.1%}" if others else ""
        table.add_row(printable(str(file)), printable(result.label), f"{result.probability:.1%}", or_else)
    return table


def predictions_of_many(files: Iterable[Path], answers: ManyPredictions, names: Mapping[str, str]) -> RenderableType:
    """What every image was called by every task, image by image."""
    table = _table("image", "name", "task", "label", "sure", numbers={"sure"})
    usable = [answer for answer in answers if isinstance(answer, Predictions)]
    for position, file in enumerate(files):
        for answer in usable:
            result = answer[position]
            label, sure = (
                ("unreadable", "") if isinstance(result, Unreadable) else (printable(result.label), f"{result.probability:.1%}")
            )
            name = printable(names.get(answer.task, ""))  # It may have been created since the names were read.
            table.add_row(printable(str(file)), name, answer.task, label, sure)
    return table


def printable(text: str) -> str:
    """Text of others without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _table(*columns: str, numbers: set[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        # Folded and never cut short; an id stays on one line, to be copied.
        table.add_column(
            column, justify="right" if column in numbers else "left", overflow="fold", no_wrap=column in {"task", "example"}
        )
    return table


def _when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
