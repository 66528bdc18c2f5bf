"""Texts, shares and moments as people read them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headstart.replies.quality import Interval


def printable(text: str) -> str:
    """Text of others without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def told_example(body: Mapping[str, Any], id_field: str, prefix: str = "") -> str:
    """An example as its owner knows it: by class and file, or else by its id."""
    name = body.get(f"{prefix}file_name")
    return printable(f"{body[f'{prefix}label']}/{name}" if name else body[id_field])


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def percent_range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"


def when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
