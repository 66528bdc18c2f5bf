"""Splits of classes: some to train on, some to choose by and some to measure with.

A split comes from a file (JSON: `{"dataset": …, "train": […], "validation": […], "test": […]}`), from the names of a few-shot
dataset's pickles, or from a seed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from training.data.dataset import DataError
from training.data.files import clean_class_name
from training.data.pickles import part_of, read_classes
from training.data.sources import list_pickles

Part = Literal["train", "validation", "test"]

# 64, 16 and 20 of a hundred, as in mini-ImageNet and CIFAR-FS; but 5-way episodes need five classes to draw from.
_VALIDATION_SHARE, _TEST_SHARE = 0.16, 0.20
_LEAST = 5

SHIPPED_SPLITS = Path(__file__).parent / "splits"


@dataclass(frozen=True)
class Split:
    """The base (`train`), validation and novel (`test`) classes of a dataset."""

    dataset: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def classes(self, part: Part) -> tuple[str, ...]:
        """Returns the classes of a part."""
        chosen: tuple[str, ...] = getattr(self, part)
        return chosen

    def known_as(self, part: Part) -> tuple[str, ...]:
        """Returns the classes under names that are unique among datasets: a number gets its dataset's name."""
        return tuple(name if means_something(name) else f"{self.dataset}/{name}" for name in self.classes(part))


def means_something(name: str) -> bool:
    """Returns whether a class name may be compared with another dataset's: class `1` is another class in each."""
    return any(map(str.isalpha, name))


def is_shipped(name: str) -> bool:
    """Returns whether a shipped split has that name."""
    return (SHIPPED_SPLITS / f"{name}.json").is_file()


def read_split(path_or_name: str | Path) -> Split:
    """Reads a split file, or one of the shipped splits by name (`cifar-fs`, `fc100`).

    Raises:
        DataError: the file is missing or malformed, or a class is in two parts.
    """
    shipped = SHIPPED_SPLITS / f"{path_or_name}.json"
    path = shipped if shipped.is_file() else Path(path_or_name)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        split = Split(
            dataset=str(raw["dataset"]),
            train=tuple(map(clean_class_name, raw["train"])),
            validation=tuple(map(clean_class_name, raw["validation"])),
            test=tuple(map(clean_class_name, raw["test"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read split file {path}: {error!r}; it needs the keys dataset, train, validation, test"
        ) from error
    _check_disjoint(split, f"split file {path}")
    return split


def write_split(split: Split, path: Path) -> None:
    """Writes a split as `read_split` reads it.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        path.write_text(json.dumps(asdict(split), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def split_classes(names: Collection[str], seed: int, dataset: str) -> Split:
    """Splits classes by a seed: 64 % base, 16 % validation and 20 % novel, with five or more of each.

    The classes are ranked by the SHA-256 of seed and name. So the split depends on the seed and the names alone: not on their
    order, the machine or a library's generator. Up to 27 classes, validation and novel have five each and the base classes are
    the rest.

    Args:
        dataset: the name of the dataset, for the record.

    Raises:
        DataError: there are fewer than 15 classes.
    """
    ranked = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    if len(ranked) < 3 * _LEAST:
        raise DataError(
            f"{len(ranked)} classes cannot be split by a seed: {3 * _LEAST} are needed, {_LEAST} each to train on, to choose by "
            "and to measure with; with fewer, name the classes of each part in a split file"
        )
    validation = max(_LEAST, round(_VALIDATION_SHARE * len(ranked)))
    test = max(_LEAST, round(_TEST_SHARE * len(ranked)))
    return Split(
        dataset=dataset,
        train=tuple(sorted(ranked[validation + test :])),
        validation=tuple(sorted(ranked[:validation])),
        test=tuple(sorted(ranked[validation : validation + test])),
    )


def carried_split(paths: Sequence[Path], dataset: str) -> Split | None:
    """Returns the split in the file names of pickles; None where there are no pickles.

    Raises:
        DataError: a pickle cannot be read, or two parts share a class.
    """
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for file in (file for path in paths for file in list_pickles(path) or ()):
        parts[part_of(file)] += sorted(read_classes(file))
    if not any(parts.values()):
        return None
    split = Split(dataset, tuple(parts["train"]), tuple(parts["val"]), tuple(parts["test"]))
    _check_disjoint(split, "the pickles")
    return split


def refuse_seen(splits: Sequence[Split], inherited: Collection[str]) -> None:
    """Refuses splits in which validation or test classes were trained on, in another dataset or in the earlier network.

    Args:
        inherited: classes that the network was trained on before.

    Raises:
        DataError: one was.
    """
    base = {*inherited, *(name for split in splits for name in split.known_as("train"))}
    for split in splits:
        if seen := sorted(base.intersection(split.known_as("validation") + split.known_as("test"))):
            raise DataError(
                f"{len(seen)} validation or test classes of {split.dataset} are trained on, by another dataset or by the run "
                f"that --init names: {', '.join(seen[:5])}; give --split files that agree"
            )


def _check_disjoint(split: Split, place: str) -> None:
    names = Counter([*split.train, *split.validation, *split.test])
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise DataError(f"{place} names classes in more than one place: {', '.join(twice)}")
