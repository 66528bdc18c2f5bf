"""Texts, shares and moments as people read them."""

from collections.abc import Sequence
from datetime import datetime

from headstart.replies.values import Interval


def printable(text: str) -> str:
    """Text of others, without characters that a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def class_name(label: str | None) -> str:
    """A class by its label, or the lack of one in brackets."""
    return "(none of these)" if label is None else printable(label)


def class_names(labels: Sequence[str] | None) -> str:
    """Several labels of one image, or the lack of any in brackets."""
    return ", ".join(map(printable, labels)) if labels else class_name(None)


def example_name(example: str, label: str | None, file_name: str | None) -> str:
    """An example as its owner knows it: by class and file, or else by its id."""
    if not file_name:
        return printable(example)
    return printable(file_name if label is None else f"{label}/{file_name}")


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def percent_range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"


def when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
