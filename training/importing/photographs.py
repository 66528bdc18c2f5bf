"""Images for an imported backbone's statistics: a sample from whatever folders there are."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np

from models.manifest import InputSpec
from training.data.dataset import DataError, ImageSet, Skipped
from training.data.files import Source, clean_class_name, left_out
from training.data.folders import files_below, is_image, visible
from training.data.loading import check_broken, decode
from training.data.sources import list_left_out, list_sources
from training.evaluation.episodes import QUERIES, SHOTS, WAYS

_CLASSES = 100
_IMAGES = 4000
_PER_EPISODE = max(SHOTS) + QUERIES  # of each class
_SEED = 1


def check_paths(paths: Sequence[Path]) -> None:
    """Fails, before a network is downloaded or loaded, where a path does not exist.

    Raises:
        DataError: one does not.
    """
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: there is no such folder or file")


def load_photographs(paths: Sequence[Path], spec: InputSpec, broken_share: float) -> ImageSet:
    """Loads a sample of at most 100 classes and 4,000 images, drawn with a fixed seed.

    Args:
        paths: paths that `training.data.sources` reads, or folders of images, each of which is one class.
        broken_share: the share of the sample that may be unusable; it is skipped and listed in the result.

    Raises:
        DataError: a path is none of these, there are fewer than two images, or too many cannot be decoded.
    """
    by_class: dict[str, list[Source]] = {}
    for source in (source for path in paths for source in (_loose(path) or list_sources([path]))):
        by_class.setdefault(source.class_name, []).append(source)
    rng = np.random.default_rng(_SEED)
    names = sorted(rng.permutation(sorted(by_class))[:_CLASSES].tolist())
    most = max(_PER_EPISODE, _IMAGES // max(1, len(names)))
    chosen = [by_class[name][i] for name in names for i in sorted(rng.permutation(len(by_class[name]))[:most])]
    if len(chosen) < 2:
        raise DataError(f"{', '.join(map(str, paths))}: {len(chosen)} images; give at least 2, better hundreds")
    with ThreadPoolExecutor() as pool:
        decoded = list(zip(chosen, pool.map(decode, chosen, repeat(spec)), strict=True))
    skipped = tuple(pixels for _, pixels in decoded if isinstance(pixels, Skipped))
    check_broken(skipped, len(chosen), broken_share)
    usable = [(source, pixels) for source, pixels in decoded if not isinstance(pixels, Skipped)]
    labels = np.array([names.index(source.class_name) for source, _ in usable], dtype=np.int64)
    skipped += tuple(file for path in paths for file in _left_out(path))
    return ImageSet(np.stack([pixels for _, pixels in usable]), labels, tuple(names), tuple(s.key for s, _ in usable), skipped)


def enough_for_episodes(images: ImageSet) -> ImageSet | None:
    """Returns the classes with enough images for 5-way episodes of 5 shots, or None with fewer than 5 such classes."""
    by_class = images.indices_by_class()
    large = [label for label, indices in enumerate(by_class) if len(indices) >= _PER_EPISODE]
    if len(large) < WAYS:
        return None
    return images if len(large) == len(by_class) else images.of_classes(large)


def _loose(path: Path) -> list[Source]:
    """Returns the images that lie in a folder itself: one class, which has the folder's name."""
    if not path.is_dir():
        return []
    files = [file for file in sorted(visible(path)) if is_image(file) and not file.is_dir()]
    name = clean_class_name(path.resolve().name)
    return [Source(name, file.name, str(file), f"{name}/{file.name}", file.read_bytes) for file in files]


def _left_out(path: Path) -> list[Skipped]:
    """Returns the visible files that the sample is not drawn from."""
    loose = {source.place for source in _loose(path)}
    if not loose:
        return list(list_left_out([path]))
    others = (file for file in files_below(path) if str(file) not in loose)
    return [left_out(file, "in a folder beside loose images" if is_image(file) else "not an image") for file in others]
