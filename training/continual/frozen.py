"""Frozen backbone, new heads: what Headstart serves.

The first task trains the backbone. From then on it never changes, and each task gets the head that the server would fit. So
nothing is ever forgotten, and a task that the frozen backbone suits badly is learned badly.
"""

from typing import cast

import torch
from torch import Tensor, nn

from models.manifest import HeadOptions
from training.adaptation.last_layer import ServedHead
from training.continual.learner import Augment, ContinualLearner, ContinualMethod, MakeTrunk, to_images

_OPTIONS = HeadOptions(solver="logistic", C=3.0, temperature=1.0, centre=True)
_BATCH = 256


class FrozenTrunk(ContinualLearner):
    """Trains the trunk on the first task alone, and fits every head as the server does."""

    def __init__(self, make_trunk: MakeTrunk, augment: Augment = to_images) -> None:
        super().__init__(make_trunk, augment)
        self._mean_D: Tensor | None = None

    def begin(self, classes: int) -> None:
        super().begin(classes)
        if self._mean_D is not None:
            self.heads[-1].requires_grad_(False)  # it will be fitted, not trained

    @torch.no_grad()
    def consolidate(self, pixels_NHW3: Tensor, labels_N: Tensor) -> None:
        """Freezes the trunk, and fits the newest task's head on its images."""
        self.requires_grad_(False)
        self.eval()
        embeddings_ND = torch.cat([self.trunk(to_images(part)) for part in torch.split(pixels_NHW3, _BATCH)])
        if self._mean_D is None:
            self._mean_D = embeddings_ND.mean(dim=0)
        classes = cast("nn.Linear", self.heads[-1]).out_features
        self.heads[-1] = ServedHead(embeddings_ND, labels_N, classes, _OPTIONS, self._mean_D).requires_grad_(False)


METHOD = ContinualMethod("frozen backbone", "Headstart", FrozenTrunk)
