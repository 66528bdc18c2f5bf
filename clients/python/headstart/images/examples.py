"""The forms in which callers give labelled images."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from headstart.images.folders import labelled_folder
from headstart.images.kinds import Image, checked_image, is_table, one_or_many
from headstart.labels import clean_label


class Table(Protocol):
    """A DataFrame of pandas with the columns `label` and `image`."""

    @property
    def columns(self) -> Any: ...
    def __getitem__(self, column: str, /) -> Any: ...


LabelledImage = tuple[str | Sequence[str] | None, Image]

Examples = (
    str
    | os.PathLike[str]
    | Mapping[str, Image | Iterable[Image]]
    | Mapping[str | None, Image | Iterable[Image]]
    | Iterable[LabelledImage]
    | Table
)
"""A folder with a folder per class, images by label, (label, image) pairs, or a table with the columns `label` and `image`.

The label None says: of none of the classes. In a table it is refused, since it may as well be one that is missing.

In a task of several labels an image, the label of a pair may be a list of labels.
"""

Labelled = tuple[str | tuple[str, ...] | None, Image]
"""An image with its label, or with the tuple of its labels."""


def labelled(examples: Examples) -> list[Labelled]:
    """Examples in any form as (label, image) pairs.

    Raises:
        TypeError: they are in no such form; the message says where.
    """
    if isinstance(examples, str | os.PathLike):
        return [*labelled_folder(examples)]
    if is_table(examples):
        return _rows(cast("Table", examples))
    if isinstance(examples, Mapping):
        return [
            (_checked_label("examples", label), image)
            for label, images in examples.items()
            for image in one_or_many(f"examples[{label!r}]", images)
        ]
    if not isinstance(examples, Iterable):
        raise TypeError(f"examples: a folder, images by label, or (label, image) pairs, not {type(examples).__name__}")
    return [_pair(f"examples[{position}]", example) for position, example in enumerate(examples)]


def several_labelled(examples: Sequence[Labelled]) -> list[Labelled]:
    """The same examples for a task of several labels an image: each label is a tuple."""
    return [(label if isinstance(label, tuple) else () if label is None else (label,), image) for label, image in examples]


def _rows(table: Table) -> list[Labelled]:
    """The rows of a table as (label, image) pairs."""
    columns = list(table.columns)
    if columns.count("label") != 1 or columns.count("image") != 1:
        raise TypeError(f"examples: a table needs the columns 'label' and 'image'; this has {', '.join(map(repr, columns))}")
    pairs = []
    for position, (label, image) in enumerate(zip(table["label"], table["image"], strict=True)):
        if not isinstance(label, str | tuple | list):
            raise TypeError(f"examples: row {position} has no label; give images of none of the classes as (None, image) pairs")
        pairs.append(_pair(f"examples: row {position}", (label, image)))
    return pairs


def _pair(argument: str, example: object) -> Labelled:
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise TypeError(f"{argument}: a (label, image) pair, not {type(example).__name__}")
    label, image = example
    return _checked_label(argument, label), checked_image(argument, image)


def _checked_label(argument: str, label: object) -> str | tuple[str, ...] | None:
    if label is None:
        return None
    if isinstance(label, tuple | list) and all(isinstance(each, str) for each in label):
        return tuple(dict.fromkeys(map(clean_label, label)))
    if not isinstance(label, str):
        raise TypeError(f"{argument}: a label is text, not {type(label).__name__}")
    return clean_label(label)
