"""The datasets of a command: loading them, and refusing those that would make its figures meaningless."""

import sys
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from models.manifest import InputSpec
from training.data.class_split import Part, Split
from training.data.dataset import DataError, DatasetParts, ImageSet, Skipped
from training.data.loading import load_images
from training.data.sources import list_left_out
from training.evaluation.episodes import SHOTS, WAYS
from training.run.checkpoint import DatasetInfo

LEAST_TO_MEASURE = max(SHOTS) + 1  # images of a class: examples and one query


def load(paths: Sequence[Path], classes: Sequence[str], spec: InputSpec, broken_share: float, minimum: int = 1) -> ImageSet:
    """Loads the images of the classes. Every other visible file of the dataset is listed on standard error."""
    images = load_images(paths, classes, spec, broken_share=broken_share, minimum=minimum)
    for skipped in (*images.skipped, *list_left_out(paths, classes)):
        _tell(skipped)
    return images


@cache
def _tell(skipped: Skipped) -> None:
    """Prints a skipped file once, although each part of a dataset is loaded by itself."""
    print(f"skipped {skipped}", file=sys.stderr, flush=True)


def load_part(
    paths: Sequence[Path], split: Split, part: Part, spec: InputSpec, base: Collection[str], broken_share: float, minimum: int = 1
) -> ImageSet:
    """Loads the images of a part whose classes the backbone must not have been trained on.

    Raises:
        DataError: the backbone was trained on one of them, or the images cannot be used.
    """
    classes = split.classes(part)
    if seen := sorted(set(split.known_as(part)) & set(base)):
        raise DataError(
            f"the backbone was trained on {len(seen)} of the {part} classes of {split.dataset}: {', '.join(seen[:5])}, …"
        )
    return load(paths, classes, spec, broken_share, minimum)


def load_for_episodes(
    paths: Sequence[Path], split: Split, part: Part, spec: InputSpec, base: Collection[str], broken_share: float
) -> ImageSet | None:
    """Loads a part like `load_part`, or returns None and prints a line if it has too few classes for the protocol's episodes.

    Raises:
        DataError: a class has fewer images than an episode takes, or the backbone was trained on it.
    """
    classes = split.classes(part)
    if len(classes) >= WAYS:
        return load_part(paths, split, part, spec, base, broken_share, LEAST_TO_MEASURE)
    if classes:
        text = f"left out the {len(classes)} {part} classes of {split.dataset}: {WAYS}-way episodes need {WAYS}"
        print(text, file=sys.stderr, flush=True)
    return None


def check_names(names: Sequence[str]) -> None:
    """Refuses two datasets of one name, since their figures could not be told apart.

    Raises:
        DataError: two have one.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"two datasets are called {twice[0]}; give one a --split file that names it otherwise, or rename its folder"
        )


def places_of(given: Sequence[Sequence[Path]] | None, known: Sequence[DatasetInfo]) -> Sequence[Sequence[Path]]:
    """Returns the paths of a run's datasets, in their order: those of `--data` if it was given, else where the run found them.

    Raises:
        DataError: `--data` was given for another number of datasets.
    """
    places = given or [[Path(path) for path in data.paths] for data in known]
    if len(places) != len(known):
        raise DataError(f"the run has {len(known)} datasets; --data was given {len(places)} times")
    return places


def held_out_images(
    paths: Sequence[Path], split: Split, spec: InputSpec, trained: Collection[str], share: float, base: ImageSet | None = None
) -> DatasetParts:
    """Returns a dataset's base images, with those of its validation and test classes.

    Args:
        trained: every class that the backbone was trained on.
        share: the share of the files that may be unreadable.

    Raises:
        DataError: as `load_for_episodes`.
    """
    return DatasetParts(
        split.dataset,
        base,
        load_for_episodes(paths, split, "validation", spec, trained, share),
        load_for_episodes(paths, split, "test", spec, trained, share),
    )
