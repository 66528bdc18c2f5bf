"""Kinds of picture that few-shot accuracy is measured on, and their embeddings, kept from run to run.

A folder of data holds `photos/NAME.zip` with the split `splits/photos-NAME.json`, CIFAR-100 as class folders in `cifar100/*.zip`,
and Omniglot as its author publishes it in `omniglot/`. The splits of the last two are the trainer's own (`cifar-fs`, `omniglot`).
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models.images.preprocess
from models.bundle import SHIPPED, Bundle, find_bundles, open_bundle
from models.engine import Engine, EngineKind, embed_all, open_engine
from models.heads.head import Float32
from models.manifest import InputSpec
from training.data.class_split import Part, Split, read_split
from training.data.dataset import DataError
from training.data.loading import load_images
from training.evaluation.episodes import Embedded

_CLASSES_AT_ONCE = 5


@dataclass(frozen=True)
class Domain:
    """A kind of picture.

    Attributes:
        files: zips of class folders, as a pattern in the folder of data.
        split: a file in the folder of data, or the name of a split that the trainer has.
        in_mean: whether it counts in the mean over the domains; others are lines of their own.
        part: the part of its classes to measure on, where it has no novel ones.
    """

    name: str
    files: str
    split: str
    in_mean: bool = False
    part: Part = "test"

    def paths(self, data: Path) -> list[Path]:
        """Returns its zips.

        Raises:
            DataError: there are none.
        """
        found = sorted(data.glob(self.files))
        if not found:
            raise DataError(f"{data / self.files}: not found")
        return found

    def read_split(self, data: Path) -> Split:
        """Returns its split.

        Raises:
            DataError: it is missing, or no split.
        """
        return read_split(data / self.split if self.split.endswith(".json") else self.split)


def _photographs(name: str, in_mean: bool = True, part: Part = "test") -> Domain:
    return Domain(name, f"photos/{name}.zip", f"splits/photos-{name}.json", in_mean, part)


# Omniglot has only its second zip here: two alphabets are in both zips, and no drawing may count twice.
DOMAINS = (
    _photographs("caltech101"),
    _photographs("flowers"),
    _photographs("gtsrb"),
    _photographs("trashnet"),
    _photographs("dtd10"),
    _photographs("clothing"),
    Domain("cifar-fs", "cifar100/*.zip", "cifar-fs"),
    Domain("omniglot", "omniglot/*small2.zip", "omniglot"),
    _photographs("tinyimagenet", in_mean=False, part="validation"),
)


@dataclass(frozen=True)
class Embedder:
    """A bundle on one engine.

    Args:
        spec: the preprocessing: the bundle's, unless another is tried.
        keep: a folder for the embeddings; None to keep none.
        per_class: images of each class, the first by name; None for all.
    """

    bundle: Bundle
    engine: Engine
    spec: InputSpec
    data: Path
    keep: Path | None = None
    per_class: int | None = None

    def key(self, domain: Domain, part: Part) -> str:
        """Returns a hash of all that the embeddings depend on: the backbone's file, the preprocessing and the choice of
        images.
        """
        classes = domain.read_split(self.data).classes(part)
        parts = [self.engine.space.backbone.sha256, self.spec.model_dump_json(), _code(), str(self.per_class), *classes]
        parts += [_sha256(path, path.stat().st_mtime) for path in domain.paths(self.data)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def embed(self, domain: Domain, part: Part) -> Embedded:
        """Returns embeddings of every image of the part's classes, from the kept ones if they are there.

        Raises:
            DataError: the images cannot be used.
        """
        classes = domain.read_split(self.data).classes(part)
        if self.keep is None:
            return self._embed(domain, classes)
        file = self.keep / f"{domain.name}-{part}-{self.key(domain, part)[:24]}.npz"
        if file.exists():
            with np.load(file) as kept:
                return _by_label(kept["embeddings"], kept["labels"])
        embedded = self._embed(domain, classes)
        labels = np.repeat(np.arange(len(classes)), [len(images) for images in embedded.by_class])
        save(file, embeddings=embedded.embeddings, labels=labels)
        return embedded

    def _embed(self, domain: Domain, classes: Sequence[str]) -> Embedded:
        """Embeds a few classes at a time, so that only their images are in memory."""
        print(f"embedding {domain.name} by {self.bundle.id} on {self.engine.kind}", file=sys.stderr, flush=True)
        embeddings, labels = [], []
        for start in range(0, len(classes), _CLASSES_AT_ONCE):
            images = load_images(domain.paths(self.data), classes[start : start + _CLASSES_AT_ONCE], self.spec)
            images = images if self.per_class is None else images.first_per_class(self.per_class)
            embeddings.append(embed_all(self.engine, images.images))
            labels.append(start + images.labels)
        return _by_label(np.concatenate(embeddings), np.concatenate(labels))


def opener(
    data: Path, bundles: Path | None, engine: EngineKind, keep: Path | None, per_class: int | None = None
) -> Callable[[str], Embedder]:
    """Returns a function from a bundle's id or folder to its embedder.

    Args:
        bundles: a folder of bundles beside the shipped ones.
        keep: see `Embedder`; measured speeds of engines are kept there too, so that each run takes the same one.
    """
    known = find_bundles(SHIPPED) | (find_bundles(bundles) if bundles else {})

    @cache
    def open_(name: str) -> Embedder:
        bundle = open_bundle(known.get(name, Path(name)))
        opened = open_engine(bundle, engine, remembered=keep)
        return Embedder(bundle, opened, bundle.manifest.input, data, keep, per_class)

    return open_


def save(file: Path, **arrays: NDArray[Any]) -> None:
    """Writes arrays, completely or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    with temporary.open("wb") as target:
        np.savez(target, allow_pickle=False, **arrays)
    temporary.replace(file)


def _by_label(embeddings: Float32, labels: NDArray[np.int64]) -> Embedded:
    return Embedded(embeddings, [np.flatnonzero(labels == label) for label in range(labels.max() + 1)])


@cache
def _code() -> str:
    """Returns a hash of the code that decodes and resizes, since the pixels change with it."""
    return hashlib.sha256(Path(models.images.preprocess.__file__).read_bytes()).hexdigest()


@cache
def _sha256(path: Path, _modified: float) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
