"""Learning without forgetting (Li & Hoiem, ECCV 2016, arXiv:1606.09282, section 3).

The network's answers for earlier tasks, on the images of the new one, shall stay what they were before it. So the loss is the new
task's cross-entropy, plus λ Σ_old KL(recorded ‖ current), both softened by the temperature T = 2 (equations 2 and 3). That is the
paper's cross-entropy less a constant. It lacks the factor T² of Hinton et al., as the authors' code does (`vl_nnsoftmaxdiff.m`).

No old image is needed. The paper records the old answers to each image once. Here a copy of the old network gives them for each
augmented image. The paper's first phase, in which the new head is trained alone, is left out: all methods train for equally long.
"""

import copy
from functools import partial
from typing import cast

import torch
from torch import Tensor

from training.continual.learner import Augment, ContinualLearner, ContinualMethod, MakeTrunk, to_images
from training.objectives import distillation


class WithoutForgetting(ContinualLearner):
    """Distils the network as it was before the newest task, for every earlier head.

    Args:
        strength: λ, 1 in the paper and in the authors' code (`balanceLoss` of `cnn_customtrain.m`).
        temperature: T, 2 in the paper.
    """

    def __init__(
        self, make_trunk: MakeTrunk, augment: Augment = to_images, strength: float = 1.0, temperature: float = 2.0
    ) -> None:
        super().__init__(make_trunk, augment)
        self._strength = strength
        self._temperature = temperature
        # In a list, for its weights are neither trained nor part of this network's state.
        self._before: list[ContinualLearner] = []

    def begin(self, classes: int) -> None:
        """Keeps a copy of the network, and adds the head."""
        if self.heads:
            self._before.clear()  # or the copy would hold the copy before it
            self._before.append(copy.deepcopy(self).eval().requires_grad_(False))
        super().begin(classes)

    def penalty(self, images_N3HW: Tensor, embeddings_ND: Tensor) -> Tensor:
        """Returns λ Σ_old KL(recorded ‖ current)."""
        if not self._before:
            return super().penalty(images_N3HW, embeddings_ND)
        (before,) = self._before
        with torch.no_grad():
            recorded_ND = before.embed(images_N3HW, self.newest)
            recorded = [cast("Tensor", head(recorded_ND)) for head in before.heads]
        parts = [
            distillation(cast("Tensor", head(embeddings_ND)), old_NK, self._temperature)
            for head, old_NK in zip(self.heads, recorded, strict=False)
        ]
        return self._strength / self._temperature**2 * torch.stack(parts).sum()  # `distillation` multiplies by T²

    def consolidate(self, pixels_NHW3: Tensor, labels_N: Tensor) -> None:
        """Fits the head, and lets the copy go: the next task makes its own, with the fitted head."""
        super().consolidate(pixels_NHW3, labels_N)
        self._before.clear()


METHOD = ContinualMethod(
    "LwF",
    "Li & Hoiem, ECCV 2016",
    WithoutForgetting,
    {f"λ {4**power}": partial(WithoutForgetting, strength=4.0**power) for power in range(7)},
)
