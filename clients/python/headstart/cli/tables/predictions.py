"""Predictions as tables, and as CSV for spreadsheets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import example_name, printable
from headstart.images.folders import printable_path
from headstart.replies.predictions import ManyPredictions, Prediction, Predictions, Unreadable

CSV_COLUMNS = ("file", "label", "probability", "known", "novelty", "error")
CSV_COLUMNS_OF_MANY: tuple[str, ...] = ("file", "name", "task", "label", "probability", "error")
CSV_VERDICT = ("known", "novelty")

Row = tuple[str, Prediction | Unreadable]
"""A file and its prediction."""

RowOfMany = tuple[str, str, str, Prediction | Unreadable]
"""A file, a task's name, its id, and its prediction."""


def rows(files: Sequence[Path], answers: Predictions, shown: Sequence[int]) -> list[Row]:
    """The rows of the images at the positions `shown`."""
    return [(printable_path(files[at]), answers.results[at]) for at in shown]


def rows_of_many(files: Sequence[Path], answers: ManyPredictions, names: Mapping[str, str]) -> list[RowOfMany]:
    """A row for each image and task, image by image."""
    usable = [answer for answer in answers if isinstance(answer, Predictions)]
    # A task may have been created since the names were read.
    return [
        (printable_path(file), names.get(answer.task, ""), answer.task, answer.results[position])
        for position, file in enumerate(files)
        for answer in usable
    ]


def predictions_table(found: Sequence[Row]) -> RenderableType:
    """For every image its label, how sure that is, and the next label; or that it is of none of the classes."""
    remembered = any(identifier(result) for _, result in found)
    sets = any(isinstance(result, Prediction) and result.set is not None for _, result in found)
    table = FittedTable(
        (
            Column("image", cut="start"),
            Column("label", cut="end"),
            Column("sure", number=True),
            *([Column("set", cut="end")] if sets else []),
            Column("or else", cut="end", goes=2),
            Column("nearest example", goes=1),
            *([Column("prediction")] if remembered else []),
        )
    )
    for path, result in found:
        file, of = printable(path), (identifier(result),) if remembered else ()
        if isinstance(result, Unreadable):
            table.add_row(file, "unreadable", "", *[""] * sets, printable(result.detail), "", *of)
            continue
        within = [", ".join(map(printable, result.set or ())) or "none"] * sets
        found_labels = max(1, len(result.labels or ()))
        scored = [(printable(label), f"{share:.1%}") for label, share in result.scores.items()]
        first, sure = (", ".join(texts) for texts in zip(*scored[:found_labels], strict=True))
        others = scored[found_labels:]
        nearest = ""
        if result.nearest:
            closest = result.nearest[0]
            nearest = f"{example_name(closest.example, closest.label, closest.file_name)} ({closest.similarity:.2f})"
        if result.known is False:
            table.add_row(file, "none of these", "", *within, f"{first} {sure}", nearest, *of)
        else:
            table.add_row(file, first, sure, *within, " ".join(others[0]) if others else "", nearest, *of)
    return table


def many_predictions_table(found: Sequence[RowOfMany]) -> RenderableType:
    """For every image its label by every task, image by image."""
    table = FittedTable(
        (
            Column("image", cut="start"),
            Column("name", cut="end"),
            Column("task", goes=1),
            Column("label", cut="end"),
            Column("sure", number=True),
        )
    )
    for file, name, task, result in found:
        label, sure = "unreadable", ""
        if isinstance(result, Prediction):
            label, sure = printable(_label(result)), f"{result.probability:.1%}"
            if result.known is False:
                label, sure = "none of these", ""
        table.add_row(printable(file), printable(name), task, label, sure)
    return table


def identifier(result: Prediction | Unreadable) -> str:
    """The id of a prediction that was remembered, else nothing."""
    return result.id or "" if isinstance(result, Prediction) else ""


def _label(result: Prediction) -> str:
    """The label, or where an image may have several all that it has, perhaps none."""
    return result.label if result.labels is None else ", ".join(result.labels)


def csv_row(file: str, result: Prediction | Unreadable) -> tuple[str, ...]:
    """The cells of `CSV_COLUMNS`; an unknown image has the label of its most similar class. Several labels have commas between
    them, and the probability is that of the most probable.
    """
    if isinstance(result, Unreadable):
        return file, "", "", "", "", result.detail
    return file, _label(result), f"{result.probability:.6f}", *csv_verdict(result), ""


def csv_verdict(result: Prediction | Unreadable) -> tuple[str, str]:
    """The cells of `CSV_VERDICT`, which are empty where nobody asked."""
    if isinstance(result, Unreadable) or result.known is None or result.novelty is None:
        return "", ""
    return str(result.known).lower(), f"{result.novelty:.4f}"


def csv_row_of_many(file: str, name: str, task: str, result: Prediction | Unreadable) -> tuple[str, ...]:
    """The cells of `CSV_COLUMNS_OF_MANY`."""
    if isinstance(result, Unreadable):
        return file, name, task, "", "", result.detail
    return file, name, task, _label(result), f"{result.probability:.6f}", ""
