"""The forms in which callers give labelled images."""

import os
from collections.abc import Iterable, Mapping

from headstart.images.folders import labelled_folder
from headstart.images.kinds import Image, checked_image, one_or_many
from headstart.labels import clean_label

LabelledImage = tuple[str | None, Image]

Examples = (
    str
    | os.PathLike[str]
    | Mapping[str, Image | Iterable[Image]]
    | Mapping[str | None, Image | Iterable[Image]]
    | Iterable[LabelledImage]
)
"""A folder with a folder per class, images by label, or (label, image) pairs. The label None says: of none of the classes."""


def labelled(examples: Examples) -> list[LabelledImage]:
    """Examples in any form as (label, image) pairs.

    Raises:
        TypeError: they are in no such form; the message says where.
    """
    if isinstance(examples, str | os.PathLike):
        return [*labelled_folder(examples)]
    if isinstance(examples, Mapping):
        return [
            (_checked_label("examples", label), image)
            for label, images in examples.items()
            for image in one_or_many(f"examples[{label!r}]", images)
        ]
    if not isinstance(examples, Iterable):
        raise TypeError(f"examples: a folder, images by label, or (label, image) pairs, not {type(examples).__name__}")
    return [_pair(f"examples[{position}]", example) for position, example in enumerate(examples)]


def _pair(argument: str, example: object) -> LabelledImage:
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise TypeError(f"{argument}: a (label, image) pair, not {type(example).__name__}")
    label, image = example
    return _checked_label(argument, label), checked_image(argument, image)


def _checked_label(argument: str, label: object) -> str | None:
    if label is None:
        return None
    if not isinstance(label, str):
        raise TypeError(f"{argument}: a label is text, not {type(label).__name__}")
    return clean_label(label)
