"""The pickles in which mini-ImageNet and tiered-ImageNet are passed around.

There are three forms, recognised by their content. The part (`train`, `val`, `test`) is the last word of the file's name:

    mini-imagenet-cache-<part>.pkl                        {"image_data": uint8 (N, 84, 84, 3), "class_dict": {class: [index]}}
    miniImageNet_category_split_<part>.pickle             {"data": uint8 (N, 84, 84, 3), "labels": [int], "catname2label": …}
    <part>_images_png.pkl, with <part>_labels.pkl beside  [uint8 (bytes of a PNG,)], {"label_specific": int (N,), …_str: [name]}

The first and the third come from Ren et al., Meta-Learning for Semi-Supervised Few-Shot Classification, arXiv:1803.00676. The
second comes from Gidaris & Komodakis, Dynamic Few-Shot Visual Learning without Forgetting, arXiv:1804.09458.
"""

import re
import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import DataError
from training.data.safe_pickle import load_pickle

PICKLE_SUFFIXES = frozenset({".pkl", ".pickle"})
_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
# These hold base classes again, in other images, and are no part of the few-shot split.
_OTHER_IMAGES = ("train_phase_val", "train_phase_test")


@dataclass(frozen=True)
class PickledImages:
    """Images of one pickle.

    Attributes:
        classes: the class of each image.
        images: of each image, uint8 (H, W, 3) or the bytes of a file, uint8 (length,).
    """

    classes: Sequence[str]
    images: Sequence[NDArray[np.uint8]]


def find_pickles(path: Path) -> list[Path]:
    """Returns the pickles with images that a path stands for: the file itself, or those in the folder; sorted.

    Raises:
        DataError: the path is a pickle whose name does not tell its part.
    """
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in PICKLE_SUFFIXES and part_of(file))
    if path.suffix not in PICKLE_SUFFIXES or path.stem.endswith(("_labels", *_OTHER_IMAGES)):
        return []
    if not part_of(path):
        raise DataError(f"{path}: the name of a pickle must end in train, val or test, to say which classes it holds")
    return [path]


def part_of(path: Path) -> str:
    """Returns `train`, `val` or `test`, from the name of a pickle; empty where the name has none of them."""
    stem = path.stem.removesuffix("_images_png")
    return "" if stem.endswith(_OTHER_IMAGES) else _PARTS.get(re.split("[-_]", stem)[-1], "")


def read_classes(path: Path) -> set[str]:
    """Returns the names of the classes of a pickle.

    Raises:
        DataError: see `read_pickle`.
    """
    labels = _labels_beside(path)
    return set(_tiered_classes(labels, load_pickle(labels)) if labels else read_pickle(path).classes)


def read_pickle(path: Path, wanted: Collection[str] | None = None) -> PickledImages:
    """Returns the images of a pickle, or none if it is known beforehand to hold none of the `wanted` classes.

    Raises:
        DataError: the file is missing, too large for memory, damaged, of another form, or names anything but data.
    """
    if labels := _labels_beside(path):
        classes = _tiered_classes(labels, load_pickle(labels))
        if wanted is not None and not set(wanted) & set(classes):
            return PickledImages([], [])
        images = load_pickle(path)
    else:
        classes, images = _pixels_and_classes(path, load_pickle(path))
    if not isinstance(images, list | np.ndarray) or not all(map(_is_image, images)):
        raise DataError(f"{path}: the images must be uint8 (N, H, W, 3), or a list of PNG files as uint8 arrays")
    if len(images) != len(classes):
        raise DataError(f"{path}: {len(images)} images with {len(classes)} labels")
    return PickledImages(classes, list(images))


def encoded(image: NDArray[np.uint8]) -> bytes:
    """Returns an image of a pickle as the bytes of an image file, without loss. So it is read like every other image."""
    if image.ndim != 3:
        return image.tobytes()
    height, width, _channels = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = np.pad(image.reshape(height, -1), ((0, 0), (1, 0)))  # each row is led by the number of its filter: none
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level=0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _labels_beside(path: Path) -> Path | None:
    stem = path.stem.removesuffix("_images_png")
    return None if stem == path.stem else path.with_name(f"{stem}_labels{path.suffix}")


def _tiered_classes(path: Path, content: Any) -> list[str]:
    """Returns the class of each image. Different synsets share a name (`crane`), so the number goes with it."""
    try:
        names, part = content["label_specific_str"], path.stem.removesuffix("_labels")
        return [f"{names[label]} ({part} {label})" for label in map(int, content["label_specific"])]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise DataError(f"{path} needs label_specific, a number per image, and label_specific_str, the names") from error


def _pixels_and_classes(path: Path, content: Any) -> tuple[list[str], Any]:
    try:
        if "image_data" in content:
            images, by_class = content["image_data"], content["class_dict"]
            class_of = {int(index): str(name) for name, indices in by_class.items() for index in indices}
            classes = [class_of[index] for index in range(len(images))]
        else:
            images, names = content["data"], _names(content)
            classes = [names.get(label, f"{part_of(path)} {label}") for label in map(int, content["labels"])]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path} holds neither image_data with class_dict nor data with labels") from error
    return classes, images


def _is_image(value: object) -> bool:
    """Returns whether a value is pixels (H, W, 3), or the bytes of a file as OpenCV returns them: (length,), formerly
    (length, 1).
    """
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and (value.ndim in {1, 2} or value.shape[2:] == (3,))


def _names(content: Mapping[str, Any]) -> dict[int, str]:
    """Returns the names of the labels, where the file has them; without them labels are numbers."""
    return {int(label): str(name) for name, label in content.get("catname2label", {}).items()}
