"""The records of a version's support set."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.heads.head import Float32
from models.labels import Label


@dataclass(frozen=True, slots=True, eq=False)
class Negatives:
    """The M examples of a version that are of none of its classes, in the order in which they were added.

    Attributes:
        ids: M.
        embeddings: float32 (M, D); a copy that the caller may write to.
    """

    ids: tuple[str, ...]
    embeddings: Float32


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """A support set: n examples of classes, in the order in which they were added, on which a head is fitted, and negatives.

    Attributes:
        ids, labels: n each. Where an image may have several labels, a label is the tuple of them.
        images_kept: n; whether each image was kept.
        file_names: n; the name of each image's file, None where it is not known.
        embeddings: float32 (n, D), or (0, 0) where there is no example; a copy that the caller may write to.
        backbone_sha256: the hash of the backbone file that made all embeddings.
        negatives: the examples without a class. Only the detector of strangers uses them. There are none where an image may have
            several labels: one without any is an example like others.
    """

    ids: tuple[str, ...]
    labels: tuple[Label, ...]
    images_kept: tuple[bool, ...]
    file_names: tuple[str | None, ...]
    embeddings: Float32
    backbone_sha256: str
    negatives: Negatives

    @property
    def embedded(self) -> dict[str, Float32]:
        """The embedding (D,) of every example by its id, with a class or without."""
        negatives = zip(self.negatives.ids, self.negatives.embeddings, strict=True)
        return dict(zip(self.ids, self.embeddings, strict=True)) | dict(negatives)


@dataclass(frozen=True, slots=True, eq=False)
class PartlyEmbedded:
    """A support set with the embeddings by one backbone, which may have embedded only a part of it.

    Attributes:
        ids, labels, images_kept, file_names: n each, in the order in which the examples were added. A label is None where the
            example has no class.
        embeddings: by id, float32 (D,), for those examples that have one.
    """

    ids: tuple[str, ...]
    labels: tuple[Label | None, ...]
    images_kept: tuple[bool, ...]
    file_names: tuple[str | None, ...]
    embeddings: dict[str, Float32]

    @property
    def lacking(self) -> list[str]:
        """The ids of the examples without an embedding, in order."""
        return [id_ for id_ in self.ids if id_ not in self.embeddings]

    def of_classes(self) -> "PartlyEmbedded":
        """Returns the examples that have a class."""
        rows = [row for row, label in enumerate(self.labels) if label is not None]
        return PartlyEmbedded(
            tuple(self.ids[row] for row in rows),
            tuple(self.labels[row] for row in rows),
            tuple(self.images_kept[row] for row in rows),
            tuple(self.file_names[row] for row in rows),
            self.embeddings,
        )

    def support(self, embeddings: Mapping[str, Float32], backbone_sha256: str) -> Support:
        """Returns the whole support set, with the embedding (D,) of every example by one backbone."""
        known = self.of_classes()
        width = len(next(iter(embeddings.values()), ()))  # 0 where there is no example at all, but class names alone
        vectors = np.array([embeddings[id_] for id_ in known.ids], np.float32).reshape(len(known.ids), width)
        without = tuple(id_ for id_, label in zip(self.ids, self.labels, strict=True) if label is None)
        others = np.array([embeddings[id_] for id_ in without], np.float32).reshape(len(without), width)
        labels = tuple(label for label in known.labels if label is not None)
        negatives = Negatives(without, others)
        return Support(known.ids, labels, known.images_kept, known.file_names, vectors, backbone_sha256, negatives)
