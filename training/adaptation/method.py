"""The interfaces of adaptation: from a trained network and a few images to a network for the task at hand.

Shape legend: n images of 3 channels, H by W pixels, in [0, 1]; K classes; D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from models.backbones import Backbone


class Labelled(Protocol):
    """Learns from a few labelled images."""

    def adapt(self, backbone: Backbone, images_n3HW: Tensor, labels_n: Tensor, classes: int) -> nn.Module:
        """Returns a network in evaluation mode, from images to scores (n, K).

        Args:
            backbone: in evaluation mode; it is left as it was.
            labels_n: in [0, K); every class has an image.
        """


class Unlabelled(Protocol):
    """Learns from target images without labels, beside a few source images of the same task."""

    def source(self, backbone: Backbone, images_n3HW: Tensor) -> Backbone:
        """Returns the network that a head is fitted on, in evaluation mode, from the source images alone.

        Args:
            backbone: in evaluation mode; it is left as it was.
        """

    def adapt(self, backbone: Backbone, head: nn.Module, images_n3HW: Tensor) -> nn.Module:
        """Returns a classifier adapted to target images, in evaluation mode: from images to scores (n, K).

        Args:
            backbone: as `source` had it; it is left as it was.
            head: from embeddings (n, D) of the network that `source` returned to scores (n, K); it is left as it was.
        """


@dataclass(frozen=True)
class FromLabels:
    """The entry of a method that learns from labelled images.

    Attributes:
        source: its paper.
        candidates: the method with other hyper-parameters, by what they are. Validation classes choose one.
    """

    name: str
    source: str
    candidates: Mapping[str, Labelled]


@dataclass(frozen=True)
class FromImages:
    """The entry of a method that learns from unlabelled images; otherwise as `FromLabels`."""

    name: str
    source: str
    candidates: Mapping[str, Unlabelled]
