"""Loads image files into arrays, through the preprocessing that serves."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np

from models.images.preprocess import ImageError, ImageLimits, Pixels, load_image
from models.manifest import InputSpec
from training.data.dataset import DataError, ImageSet, Skipped
from training.data.files import Source
from training.data.memory import available_memory
from training.data.sources import list_sources

# A person's own photographs may be larger than those that the server takes from strangers.
_LIMITS = ImageLimits(max_bytes=100_000_000, max_pixels=100_000_000)
_SLICE = 1024
_NAMED = 10


def load_images(
    paths: Sequence[Path], classes: Sequence[str], spec: InputSpec, *, broken_share: float = 0.0, minimum: int = 1
) -> ImageSet:
    """Decodes every image of `classes`, through the preprocessing that serves.

    The order is that of `classes`, then of file names, so it does not depend on the file system. Beside the result, only the
    images being decoded are in memory (and a pickle that holds them).

    Args:
        broken_share: the share of the files that may be unusable; they are skipped and listed in the result.
        minimum: the least number of usable images of a class.

    Raises:
        DataError: a path is no dataset, a class has too few images, more files than allowed cannot be used, or the result
            would not fit in memory.
    """
    sources = _of_classes(paths, classes)
    total = len(sources)
    _check_counts(Counter(source.class_name for source in sources), classes, minimum, paths)
    _check_memory(total, spec)
    images = np.empty((total, spec.height, spec.width, 3), dtype=np.uint8)
    kept: list[tuple[str, str]] = []
    skipped: list[Skipped] = []
    sources.reverse()
    with ThreadPoolExecutor() as pool:
        while sources:  # in slices that are then freed, since an image of a pickle lives as long as its source
            batch = [sources.pop() for _ in range(min(_SLICE, len(sources)))]
            for source, pixels in zip(batch, pool.map(decode, batch, repeat(spec)), strict=True):
                if isinstance(pixels, Skipped):
                    skipped.append(pixels)
                else:
                    images[len(kept)] = pixels
                    kept.append((source.class_name, source.key))
            check_broken(skipped, total, broken_share)
    _check_counts(Counter(name for name, _ in kept), classes, minimum, paths)
    label_of = {name: label for label, name in enumerate(classes)}
    return ImageSet(
        images=images[: len(kept)],
        labels=np.array([label_of[name] for name, _ in kept], dtype=np.int64),
        classes=tuple(classes),
        sources=tuple(key for _, key in kept),
        skipped=tuple(skipped),
    )


def read_originals(paths: Sequence[Path], sources: Sequence[str]) -> list[bytes]:
    """Returns the encoded bytes of images that `load_images` listed, in the order of `sources`.

    Raises:
        DataError: a source is in none of the paths, or cannot be read.
    """
    wanted = set(sources)
    found = {}
    for source in list_sources(paths):
        if source.key in wanted:
            found[source.key] = _read(source)
    missing = wanted - found.keys()
    if missing:
        raise DataError(f"not found: {', '.join(sorted(missing)[:5])}")
    return [found[source] for source in sources]


def _of_classes(paths: Sequence[Path], classes: Sequence[str]) -> list[Source]:
    """Returns the images of the classes, in the order of the classes, then of file names."""
    by_class: dict[str, list[Source]] = {name: [] for name in classes}
    for source in list_sources(paths, by_class.keys()):
        if source.class_name in by_class:
            by_class[source.class_name].append(source)
    return [source for found in by_class.values() for source in sorted(found, key=lambda source: source.file_name)]


def _read(source: Source) -> bytes:
    try:
        return source.read()
    except DataError as error:
        raise DataError(f"{source.place}: {error}") from error


def decode(source: Source, spec: InputSpec) -> Pixels | Skipped:
    """Returns the pixels (H, W, 3) of one image, or the reason why there are none."""
    try:
        return load_image(source.read(), spec, _LIMITS)
    except DataError as error:
        return Skipped(source.place, str(error))
    except ImageError as error:
        return Skipped(source.place, error.detail)


def _check_counts(counts: Mapping[str, int], classes: Sequence[str], minimum: int, paths: Sequence[Path]) -> None:
    few = {name: counts.get(name, 0) for name in classes if counts.get(name, 0) < minimum}
    where = ", ".join(map(str, paths))
    if few and not any(counts.values()):
        raise DataError(f"none of the {len(few)} classes asked for is in {where}: {some(list(few))}")
    if few:
        listed = ", ".join(f"{name} ({count})" for name, count in few.items())
        raise DataError(f"classes with fewer than {minimum} usable images in {where}: {listed}; add some, or leave them out")


def _check_memory(count: int, spec: InputSpec) -> None:
    needed, available = count * spec.height * spec.width * 3, available_memory()
    if needed > available:
        raise DataError(
            f"{count} images at {spec.height} x {spec.width} take {needed / 1e9:.1f} GB of memory, "
            f"and {available / 1e9:.1f} GB are available; use a smaller input size or fewer images"
        )


def check_broken(skipped: Sequence[Skipped], total: int, share: float) -> None:
    """Refuses a dataset with too many skipped images.

    Raises:
        DataError: more than that share of all images had to be skipped.
    """
    if len(skipped) <= share * total:
        return
    what = f"more than {share:.1%} of {total} images cannot be used" if share else "images that cannot be used"
    raise DataError(f"{what}: {some([str(one) for one in skipped], '; ')}; --broken-share lets more be skipped")


def some(items: Sequence[str], separator: str = ", ") -> str:
    """Returns the first items, and how many more there are."""
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return separator.join(items[:_NAMED]) + more
