"""The common part of the methods of continual learning: a trunk, a head a task, and what a method adds to the loss.

Tasks of other classes come one after another, and only the images of the newest can be learned from. The task of an image is
known when it is classified (task-incremental learning: van de Ven & Tolias, arXiv:1904.07734, section 2).

A head is trained beside the network, as a linear layer. When the task is learned, the head that the server would fit takes its
place. It is fitted once, since the task's images are gone afterwards. What a method protects from then on is that head.

Shape legend: N images of 3 channels, H by W pixels; K classes of a task; D features.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones import Backbone
from models.manifest import HeadOptions
from training.adaptation.last_layer import ServedHead

_OPTIONS = HeadOptions(solver="logistic", C=3.0, temperature=1.0, centre=True)
_BATCH = 64  # what the activations of a larger one take costs more time than it saves

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
        """Fits the head of the newest task, once it is learned, on all its images, which these are.

        A method that remembers more of the task does so after this, and so of the fitted head.

        Raises:
            ValueError: a class has no image.
        """
        self.eval()
        with torch.no_grad():
            parts = [self.embed(to_images(pixels), self.newest) for pixels in torch.split(pixels_NHW3, _BATCH)]
        embeddings_ND = torch.cat(parts)
        classes = cast("nn.Linear", self.heads[-1]).out_features
        self.heads[-1] = ServedHead(embeddings_ND, labels_N, classes, _OPTIONS, self.centre(embeddings_ND))

    def centre(self, embeddings_ND: Tensor) -> Tensor:
        """Returns the mean embedding (D,) of the images that the network was last trained on: here, the newest task's."""
        return embeddings_ND.mean(dim=0)

    def remembered(self) -> int:
        """Returns the bytes that the method keeps of the tasks so far, beside one trunk and the heads."""
        return 0


Build = Callable[[MakeTrunk, Augment], ContinualLearner]


@dataclass(frozen=True)
class ContinualMethod:
    """The entry of a method.

    Attributes:
        name: in commands and tables.
        source: its paper.
        build: returns the learner before its first task, with the hyper-parameters of the paper.
        candidates: the same with other hyper-parameters, by what they are, where the problem decides which is best. Other tasks
            than those that are measured choose one.
    """

    name: str
    source: str
    build: Build
    candidates: Mapping[str, Build] = field(default_factory=dict)
