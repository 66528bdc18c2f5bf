"""The common part of the methods of continual learning: a trunk, a head a task, and what a method adds to the loss.

Tasks of other classes come one after another, and only the images of the newest can be learned from. The task of an image is
known when it is classified (task-incremental learning: van de Ven & Tolias, arXiv:1904.07734, section 2).

Shape legend: N images of 3 channels, H by W pixels; K classes of a task; D features.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones import Backbone

MakeTrunk = Callable[[], Backbone]
Augment = Callable[[Tensor], Tensor]


def to_images(pixels_NHW3: Tensor) -> Tensor:
    """Returns uint8 pixels as images (N, 3, H, W) in [0, 1], without any augmentation."""
    return pixels_NHW3.permute(0, 3, 1, 2).float() / 255.0


class ContinualLearner(nn.Module):
    """One network that learns a task after another. As it stands, it is plain fine-tuning; methods override what they add.

    For each task: `begin`, then steps down `loss`, then `consolidate`.

    Args:
        make_trunk: returns an untrained network. A method may want more than one.
        augment: from uint8 pixels (N, H, W, 3) to images (N, 3, H, W) in [0, 1], as training sees them.
    """

    def __init__(self, make_trunk: MakeTrunk, augment: Augment = to_images) -> None:
        super().__init__()
        self.trunk = make_trunk()
        self.heads = nn.ModuleList()
        self.augment = augment

    @property
    def newest(self) -> int:
        """The number of the task that is learned now, from 0."""
        return len(self.heads) - 1

    def begin(self, classes: int) -> None:
        """Adds the head of a new task of so many classes."""
        self.heads.append(nn.Linear(self.trunk.embedding_dim, classes).to(self.trunk.mean.device))

    def trained(self) -> Iterator[nn.Parameter]:
        """Yields the parameters that the newest task trains; none where there is nothing to train."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def embed(self, images_N3HW: Tensor, task: int) -> Tensor:  # noqa: ARG002
        """Returns the embeddings (N, D) that the head of `task` reads. All tasks share them here."""
        embeddings_ND: Tensor = self.trunk(images_N3HW)
        return embeddings_ND

    def logits(self, images_N3HW: Tensor, task: int) -> Tensor:
        """Returns the scores (N, K) of images against the classes of their task."""
        return cast("Tensor", self.heads[task](self.embed(images_N3HW, task)))

    def loss(self, pixels_NHW3: Tensor, labels_N: Tensor) -> Tensor:
        """Returns the mean cross-entropy of images of the newest task, plus the method's penalty.

        Args:
            pixels_NHW3: uint8.
            labels_N: in [0, K).
        """
        images_N3HW = self.augment(pixels_NHW3)
        embeddings_ND = self.embed(images_N3HW, self.newest)
        own = functional.cross_entropy(self.heads[self.newest](embeddings_ND), labels_N)
        return own + self.penalty(images_N3HW, embeddings_ND)

    def penalty(self, images_N3HW: Tensor, embeddings_ND: Tensor) -> Tensor:  # noqa: ARG002
        """Returns what the method adds to the loss of a batch of the newest task, so that earlier ones are kept."""
        return torch.zeros((), device=embeddings_ND.device)

    def consolidate(self, pixels_NHW3: Tensor, labels_N: Tensor) -> None:
        """Remembers what the method needs of the newest task, whose images these are, once it is learned."""

    def remembered(self) -> int:
        """Returns the bytes that the method keeps of the tasks so far, beside one trunk and the heads."""
        return 0


@dataclass(frozen=True)
class ContinualMethod:
    """The entry of a method.

    Attributes:
        name: in commands and tables.
        source: its paper.
        build: from `MakeTrunk` and `Augment` to the learner before its first task.
    """

    name: str
    source: str
    build: Callable[[MakeTrunk, Augment], ContinualLearner]
