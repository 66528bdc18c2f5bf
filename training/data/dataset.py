"""A dataset in memory: images of classes, as uint8 arrays. `training.data.loading` reads one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.images.preprocess import Pixels


class DataError(ValueError):
    """A dataset that cannot be used for what was asked; the message names the file or the class."""


@dataclass(frozen=True)
class Skipped:
    """An image file that could not be used, and why."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class ImageSet:
    """Images of several classes.

    Attributes:
        images: uint8 (N, H, W, 3).
        labels: int64 (N,), indices into `classes`, ascending.
        classes: names, in the order of the split.
        sources: the origin of each image: `<class>/<file>`, with its path in front where two paths have the same.
        skipped: the files that could not be used.
    """

    images: Pixels
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def first_per_class(self, count: int) -> "ImageSet":
        """Returns the first `count` images of each class."""
        keep = np.concatenate([indices[:count] for indices in self.indices_by_class()])
        return ImageSet(self.images[keep], self.labels[keep], self.classes, tuple(self.sources[i] for i in keep))

    def indices_by_class(self) -> list[NDArray[np.int64]]:
        """Returns the positions of each class's images."""
        return [np.flatnonzero(self.labels == label) for label in range(len(self.classes))]

    def of_classes(self, labels: Sequence[int]) -> "ImageSet":
        """Returns the images of some of the classes, in the order of `labels`."""
        by_class = self.indices_by_class()
        keep = np.concatenate([by_class[label] for label in labels])
        return ImageSet(
            self.images[keep],
            np.repeat(np.arange(len(labels)), [len(by_class[label]) for label in labels]),
            tuple(self.classes[label] for label in labels),
            tuple(self.sources[i] for i in keep),
        )


@dataclass(frozen=True)
class DatasetParts:
    """The images of one dataset that a bundle is made with.

    Attributes:
        dataset: its name in evaluations.
        base: images for the statistics and for int8's calibration; None where there are none.
        validation: classes that head options are chosen on; None where there are too few.
        novel: classes that are only measured on; None where there are none.
    """

    dataset: str
    base: ImageSet | None
    validation: ImageSet | None
    novel: ImageSet | None
