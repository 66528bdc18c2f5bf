"""Frozen backbone, new heads: what Headstart serves.

The first task trains the backbone. From then on it never changes, and each task gets the head that the server would fit. So
nothing is ever forgotten, and a task that the frozen backbone suits badly is learned badly.
"""

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from models.heads.fitting import fit
from models.heads.head import features
from models.manifest import HeadOptions
from training.continual.learner import Augment, ContinualLearner, ContinualMethod, MakeTrunk, to_images

_OPTIONS = HeadOptions(solver="logistic", C=3.0, temperature=1.0, centre=True)
_BATCH = 256


class ServedHead(nn.Module):
    """A head as the server fits it, as a layer: scores are W f + b, with f of `models.heads.head.features`.

    Args:
        embeddings_ND: of the examples.
        labels_N: in [0, classes).
        mean_D: of the embeddings over base images.
    """

    mean: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, embeddings_ND: Tensor, labels_N: Tensor, classes: int, mean_D: Tensor) -> None:
        super().__init__()
        space = features(embeddings_ND.cpu().numpy(), mean_D.cpu().numpy())
        linear = fit(space, labels_N.cpu().numpy(), classes, _OPTIONS)
        self.register_buffer("mean", mean_D)
        for name, values in (("weight", linear.weight), ("bias", linear.bias)):
            self.register_buffer(name, torch.from_numpy(values.astype(np.float32)).to(mean_D.device))

    def forward(self, embeddings_ND: Tensor) -> Tensor:
        scores_NK: Tensor = features(embeddings_ND, self.mean) @ self.weight.T + self.bias
        return scores_NK


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
        self.heads[-1] = ServedHead(embeddings_ND, labels_N, classes, self._mean_D)


METHOD = ContinualMethod("frozen backbone", "Headstart", FrozenTrunk)
