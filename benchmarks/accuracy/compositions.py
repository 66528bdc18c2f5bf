"""Images that show two things at once, composed of pairs of images, and their embeddings.

A composition has the middle columns of one image in its left half and those of another in its right half.
"""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.domain_data import Domain, Embedder, save
from models.arrays import Bools, Ints
from models.engine import embed_all
from models.heads.head import Float32
from models.images.preprocess import Pixels
from training.data.class_split import Part
from training.data.loading import load_images

LABELS = 5  # of a group
_GROUPS = 4  # of a domain, at most
_IMAGES = 20  # of each class: the first half is in compositions of support sets, the second in those of queries
_COMPOSITIONS = 150  # of each half
_OF_GROUP = 0.8  # of the halves of compositions show a class of the group; the others a class of another


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """The compositions of a group of classes: N that support sets are drawn from, and N queries, which share no image with them.

    Attributes:
        support, queries: float32 (N, D).
        support_labels, query_labels: bool (N, 5), whether each shows each class of the group; some show none.
    """

    support: Float32
    support_labels: Bools
    queries: Float32
    query_labels: Bools


def composed(embedder: Embedder, domain: Domain, part: Part) -> list[Composed]:
    """Returns the compositions of each group of five classes, from the kept ones if they are there. They are always the same.

    Raises:
        DataError: the images cannot be used.
    """
    if embedder.keep is None:
        return list(_made(embedder, domain, part))
    key = hashlib.sha256(f"{embedder.key(domain, part)} {_GROUPS} {_IMAGES} {_COMPOSITIONS} {_OF_GROUP}".encode()).hexdigest()
    file = embedder.keep / f"composed-{domain.name}-{part}-{key[:24]}.npz"
    if not file.exists():
        made = list(_made(embedder, domain, part))
        save(file, **{name: np.stack([getattr(each, name) for each in made]) for name in _NAMES})
    with np.load(file) as kept:
        return [Composed(*each) for each in zip(*(kept[name] for name in _NAMES), strict=True)]


_NAMES = tuple(Composed.__dataclass_fields__)


def _made(embedder: Embedder, domain: Domain, part: Part) -> Iterator[Composed]:
    print(f"composing {domain.name} and embedding by {embedder.bundle.id}", file=sys.stderr, flush=True)
    classes = domain.read_split(embedder.data).classes(part)
    images = load_images(domain.paths(embedder.data), classes, embedder.spec).first_per_class(_IMAGES)
    by_class = [np.flatnonzero(images.labels == label) for label in range(len(classes))]
    rng = np.random.default_rng(0)
    for start in range(0, min(_GROUPS, len(classes) // LABELS) * LABELS, LABELS):
        support, has = _pairs(images.images, [of[: len(of) // 2] for of in by_class], start, rng)
        queries, truth = _pairs(images.images, [of[len(of) // 2 :] for of in by_class], start, rng)
        yield Composed(embed_all(embedder.engine, support), has, embed_all(embedder.engine, queries), truth)


def _pairs(images: Pixels, by_class: list[Ints], first: int, rng: np.random.Generator) -> tuple[Pixels, Bools]:
    """Returns compositions and which of the classes from `first` on each shows."""
    group = np.arange(first, first + LABELS)
    others = np.setdiff1d(np.arange(len(by_class)), group)
    of_group = (rng.random((_COMPOSITIONS, 2)) < _OF_GROUP) | (not len(others))
    shown = np.where(of_group, rng.choice(group, of_group.shape), rng.choice(others if len(others) else group, of_group.shape))
    chosen = np.array([[rng.choice(by_class[k]) for k in pair] for pair in shown])
    left, right = (_middle(images[chosen[:, side]]) for side in (0, 1))
    return np.concatenate([left, right], axis=2), (shown[:, :, None] == group).any(axis=1)


def _middle(images: Pixels) -> Pixels:
    """Returns the middle half of the columns of images (N, H, W, 3)."""
    quarter = images.shape[2] // 4
    return images[:, :, quarter : images.shape[2] - quarter]
