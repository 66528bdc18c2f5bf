"""The images of `evaluate` without a split: the classes of a folder that the backbone has not seen."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.manifest import Imported, Manifest, Training
from training.commands.datasets import load
from training.data.class_split import Split, is_shipped, means_something, read_split
from training.data.dataset import DataError, ImageSet
from training.data.loading import some
from training.data.sources import find_classes
from training.evaluation.episodes import SHOTS, WAYS, affordable_queries


@dataclass(frozen=True)
class Measured:
    """Images to measure with, and the episodes that they are enough for.

    Attributes:
        ways, shots: of episodes.
        queries: for each of the shots, per class.
        what: the classes, in words.
    """

    images: ImageSet
    ways: Sequence[int]
    shots: Sequence[int]
    queries: Sequence[int]
    what: str


def unseen_classes(
    paths: Sequence[Path],
    manifest: Manifest,
    broken_share: float,
    ways: Sequence[int] | None,
    shots: Sequence[int] | None,
    queries: int | None,
) -> Measured:
    """Loads every class that the backbone was not trained on and that has enough images. A line on standard error names the
    others.

    Args:
        ways, shots, queries: None for as many as the classes and images allow: 5 ways, 1 and 5 shots, 15 queries at most.

    Raises:
        DataError: the paths are no dataset, or hold fewer than two such classes.
    """
    names = find_classes(paths)
    new, what = _new(names, manifest)
    if not new:
        raise DataError(f"the backbone was trained on every class of {', '.join(map(str, paths))}; give other classes")
    loaded = load(paths, new, manifest.input, broken_share, minimum=0)
    images, shots = _enough(loaded, shots or SHOTS, shots is None, queries or 1)
    by_class = images.indices_by_class()
    return Measured(
        images,
        ways or [min(WAYS, len(by_class))],
        shots,
        [queries or affordable_queries(by_class, count) for count in shots],
        f"{len(by_class)} {what}",
    )


def _new(names: Sequence[str], manifest: Manifest) -> tuple[list[str], str]:
    """Returns the classes that the backbone was not trained on, and a description of them."""
    made = manifest.training
    if isinstance(made, Imported):
        _note(f"{made.source} was trained elsewhere on unknown classes, so all {len(names)} count as new")
        return list(names), "classes"
    if (split := _own_split(names, made)) is not None:
        _note(f"measuring on the test classes of {split.dataset}, the backbone's own split; --split FILE names others")
        return [name for name in names if name in split.test], f"test classes of {split.dataset}"
    seen = {name.casefold() for name in made.classes}
    new = [name for name in names if name.casefold() not in seen]
    left = [name for name in names if name.casefold() in seen]
    numbered = {name.rpartition("/")[2] for name in made.classes}
    if unclear := [name for name in new if not means_something(name) and name in numbered]:
        _note(f"the backbone was trained on classes with the names {some(unclear)}; if they are these, give --split FILE")
    if left:
        _note(f"left out, since the backbone was trained on them: {some(left)}")
    elif not unclear:
        _note("the backbone was trained on none of these classes")
    return new, "classes that it was not trained on"


def _own_split(names: Collection[str], made: Training) -> Split | None:
    """Returns the split that the backbone was trained by, if the images are those of its dataset."""
    for split in map(read_split, filter(is_shipped, made.split.split(" + "))):
        known = {*split.train, *split.validation, *split.test}
        # Any dataset may have numbers as class names. They count as this dataset's only if all of its classes are there.
        of_it = known.issuperset(names) if any(map(means_something, names)) else known.issubset(names)
        if of_it and not set(names).isdisjoint(split.test):
            return split
    return None


def _enough(images: ImageSet, shots: Sequence[int], may_be_fewer: bool, queries: int) -> tuple[ImageSet, Sequence[int]]:
    """Returns the classes with enough images, and the shots that the images are enough for."""
    counts = [len(indices) for indices in images.indices_by_class()]
    needed = max(shots) + queries
    if may_be_fewer and sum(count >= needed for count in counts) < 2:
        shots, needed = [1], 1 + queries
    large = [label for label, count in enumerate(counts) if count >= needed]
    if len(large) < 2:
        raise DataError(
            f"{len(large)} classes have the {needed} images that episodes of {max(shots)} shots need; it takes 2 classes"
        )
    if small := [f"{images.classes[label]} ({count})" for label, count in enumerate(counts) if count < needed]:
        _note(f"left out, since they have fewer than {needed} images: {some(small)}")
    return images.of_classes(large), shots


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
