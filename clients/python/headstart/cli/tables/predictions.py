"""Predictions as people and spreadsheets read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from headstart.cli.tables.fitting import Column, FittedTable
from headstart.cli.tables.text import printable, told_example
from headstart.images.folders import printable_path
from headstart.replies.predictions import ManyPredictions, Prediction, Predictions, Unreadable

CSV_COLUMNS = ("file", "label", "probability", "known", "novelty", "error")
CSV_COLUMNS_OF_MANY = ("file", "name", "task", "label", "probability", "error")


@dataclass(frozen=True, slots=True)
class Row:
    """One image and its answer, `raw` as the API gave it."""

    file: str
    result: Prediction | Unreadable
    raw: Mapping[str, Any]


RowOfMany = tuple[str, str, str, Prediction | Unreadable]
"""A file, the name of a task, its id, and what it says."""


def rows(files: Sequence[Path], answers: Predictions, shown: Sequence[int]) -> list[Row]:
    """Those of the images at these positions."""
    raw = answers.raw["predictions"]
    return [Row(printable_path(files[at]), answers.results[at], raw[at]) for at in shown]


def rows_of_many(files: Sequence[Path], answers: ManyPredictions, names: Mapping[str, str]) -> list[RowOfMany]:
    """Image by image, every task's answer."""
    usable = [answer for answer in answers if isinstance(answer, Predictions)]
    # A task may have been created since the names were read.
    return [
        (printable_path(file), names.get(answer.task, ""), answer.task, answer.results[position])
        for position, file in enumerate(files)
        for answer in usable
    ]


def predictions(found: Sequence[Row]) -> RenderableType:
    """The label of every image, how sure it is, and the next likely one; a stranger is none of these."""
    table = FittedTable(
        (
            Column("image", cut="start"),
            Column("label", cut="end"),
            Column("sure", number=True),
            Column("or else", cut="end", goes=2),
            Column("nearest example", goes=1),
        )
    )
    for row in found:
        file, result = printable(row.file), row.result
        if isinstance(result, Unreadable):
            table.add_row(file, "unreadable", "", printable(result.detail), "")
            continue
        (first, sure), *others = [(printable(label), f"{share:.1%}") for label, share in result.scores.items()]
        nearest = ""
        if row.raw.get("nearest"):
            closest = row.raw["nearest"][0]
            nearest = f"{told_example(closest, 'example')} ({closest['similarity']:.2f})"
        if result.known is False:
            table.add_row(file, "none of these", "", f"{first} {sure}", nearest)
        else:
            table.add_row(file, first, sure, " ".join(others[0]) if others else "", nearest)
    return table


def predictions_of_many(found: Sequence[RowOfMany]) -> RenderableType:
    """The label of every image by every task, image by image."""
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
        label, sure = (
            ("unreadable", "") if isinstance(result, Unreadable) else (printable(result.label), f"{result.probability:.1%}")
        )
        table.add_row(printable(file), printable(name), task, label, sure)
    return table


def csv_row(row: Row) -> tuple[str, ...]:
    """The cells of `CSV_COLUMNS`; of a stranger, the label is the likest one."""
    result = row.result
    if isinstance(result, Unreadable):
        return row.file, "", "", "", "", result.detail
    known = "" if result.known is None else str(result.known).lower()
    novelty = "" if result.novelty is None else f"{result.novelty:.4f}"
    return row.file, result.label, f"{result.probability:.6f}", known, novelty, ""


def csv_row_of_many(file: str, name: str, task: str, result: Prediction | Unreadable) -> tuple[str, ...]:
    """The cells of `CSV_COLUMNS_OF_MANY`."""
    if isinstance(result, Unreadable):
        return file, name, task, "", "", result.detail
    return file, name, task, result.label, f"{result.probability:.6f}", ""
