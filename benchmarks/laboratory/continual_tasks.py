"""The tasks of `benchmarks.laboratory continual`: the classes of an image set, divided."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.data.dataset import DataError, ImageSet
from training.evaluation.episodes import Indices

_HELD_OUT = 6  # one image in so many


class Task(NamedTuple):
    """The images of one task: uint8 pixels (N, H, W, 3) and labels in [0, classes), to learn from and to measure with."""

    pixels: Tensor
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor
    classes: int


def divide(images: ImageSet, tasks: int, seed: int, device: torch.device, searching: bool = False) -> list[Task]:
    """Returns the tasks, all of equally many classes, in an order drawn from the seed.

    Args:
        searching: returns tasks to choose hyper-parameters by. Other classes are together in them, in another order. No image
            that is held out without `searching`, with whatever seed, takes part in them.

    Raises:
        DataError: the classes cannot be divided so.
    """
    each, rest = divmod(len(images.classes), tasks)
    if rest or each < 2:
        raise DataError(f"{len(images.classes)} classes cannot be divided into {tasks} tasks of two or more")
    by_class = images.indices_by_class()
    if searching:
        by_class = [_parted(own)[1] for own in by_class]
    order = np.random.default_rng((seed, searching)).permutation(len(images.classes)).reshape(tasks, each)
    return [_task([by_class[label] for label in labels], images, device) for labels in order]


def _parted(own: Indices) -> tuple[Indices, Indices]:
    """Returns the images of a class that are held out, the first by name, and those that are learned from."""
    cut = max(1, len(own) // _HELD_OUT)
    return own[:cut], own[cut:]


def _task(by_class: Sequence[Indices], images: ImageSet, device: torch.device) -> Task:
    held_out, learned = zip(*map(_parted, by_class), strict=True)
    return Task(*_tensors(learned, images, device), *_tensors(held_out, images, device), len(by_class))


def _tensors(by_class: Sequence[Indices], images: ImageSet, device: torch.device) -> tuple[Tensor, Tensor]:
    labels = np.repeat(np.arange(len(by_class)), [len(own) for own in by_class])
    return torch.from_numpy(images.images[np.concatenate(by_class)]).to(device), torch.from_numpy(labels).to(device)
