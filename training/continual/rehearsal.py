"""Rehearsal with a bounded memory: experience replay (Chaudhry et al., On tiny episodic memories in continual learning, 2019,
arXiv:1902.10486, algorithm 1).

A memory of M images holds a uniform sample of all images so far (reservoir sampling: Vitter, Random sampling with a reservoir,
ACM TOMS 1985, algorithm R). Each step draws as many images from it as the newest task's batch has, and learns from both. Old
heads go on learning with it.
"""

import random
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from training.continual.learner import Augment, ContinualLearner, ContinualMethod, MakeTrunk, to_images


class Remembered(NamedTuple):
    """An image in the memory: uint8 pixels (H, W, 3), its label within its task, and its task."""

    pixels: Tensor
    label: int
    task: int


class Reservoir:
    """A uniform sample of everything that was offered, of at most `capacity` images.

    Args:
        seed: of its own random numbers.
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        self.items: list[Remembered] = []
        self._capacity = capacity
        self._offered = 0
        self._random = random.Random(seed)  # noqa: S311

    def offer(self, item: Remembered) -> None:
        """Takes an image with the probability that a uniform sample wants, in place of a random other one."""
        self._offered += 1
        if len(self.items) < self._capacity:
            self.items.append(item)
        elif (place := self._random.randrange(self._offered)) < self._capacity:
            self.items[place] = item

    def draw(self, count: int) -> list[Remembered]:
        """Returns so many random images, or all there are."""
        return self._random.sample(self.items, min(count, len(self.items)))


class Rehearsal(ContinualLearner):
    """Learns from the newest task's images and from remembered ones.

    Args:
        capacity: M; 1000 images are 10 of each class of CIFAR-100. The authors' command begins at 1 of each
            (`replicate_results_er.sh` of facebookresearch/agem on GitHub).
    """

    def __init__(self, make_trunk: MakeTrunk, augment: Augment = to_images, capacity: int = 1000) -> None:
        super().__init__(make_trunk, augment)
        self.memory = Reservoir(capacity)

    def loss(self, pixels_NHW3: Tensor, labels_N: Tensor) -> Tensor:
        """Returns the mean cross-entropy over the batch and as many remembered images, each by the head of its task."""
        old = self.memory.draw(len(pixels_NHW3))
        if not old:
            return super().loss(pixels_NHW3, labels_N)
        device = pixels_NHW3.device
        pixels_BHW3 = torch.cat([pixels_NHW3, torch.stack([item.pixels for item in old]).to(device)])
        labels_B = torch.cat([labels_N, torch.tensor([item.label for item in old], device=device)])
        tasks_B = torch.tensor([self.newest] * len(labels_N) + [item.task for item in old], device=device)
        embeddings_BD = self.trunk(self.augment(pixels_BHW3))
        parts = []
        for task in sorted({self.newest, *(item.task for item in old)}):
            own_B = tasks_B == task
            logits_nK = cast("Tensor", self.heads[task](embeddings_BD[own_B]))
            parts.append(functional.cross_entropy(logits_nK, labels_B[own_B], reduction="sum"))
        return torch.stack(parts).sum() / len(labels_B)

    def consolidate(self, pixels_NHW3: Tensor, labels_N: Tensor) -> None:
        """Fits the head, and offers every image of the task to the memory, once and in random order."""
        super().consolidate(pixels_NHW3, labels_N)
        for index in torch.randperm(len(labels_N)).tolist():
            self.memory.offer(Remembered(pixels_NHW3[index].cpu().clone(), int(labels_N[index]), self.newest))

    def remembered(self) -> int:
        return sum(item.pixels.nbytes for item in self.memory.items)


METHOD = ContinualMethod("rehearsal", "Chaudhry et al. 2019", Rehearsal)
