"""Elastic weight consolidation (Kirkpatrick et al., PNAS 2017, arXiv:1612.00796, equation 3).

A weight that mattered to an earlier task is held near its value then. The loss of a new task gets λ/2 Σ_i F_i (θ_i - θ*_i)². F is
the diagonal of the Fisher information, F_i = E_x E_{y ~ p(y|x)} (∂ log p(y|x) / ∂θ_i)², at the weights θ* of the earlier task.
There is such a term for each earlier task. Their sum is Σ_i A_i (θ_i - c_i)² and a constant, with A the sum of the tasks' F and c
their mean θ* weighted by F. So A and c are kept, however many tasks there were.

Only the trunk is held, since no other task moves a task's head. Means and variances of batch normalisation are no weights, and
are not held.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from training.continual.learner import Augment, ContinualLearner, ContinualMethod, MakeTrunk, to_images


class ElasticWeights(ContinualLearner):
    """Plain fine-tuning with the quadratic penalty.

    Args:
        strength: λ; 400 is that of the paper's Atari networks (table S2, the Fisher multiplier), found there by a search. For
            permuted MNIST the paper tells none (table S1). So it has to be searched for.
        samples: images, drawn with PyTorch's global random numbers, that a task's Fisher information is measured on.
    """

    def __init__(self, make_trunk: MakeTrunk, augment: Augment = to_images, strength: float = 400.0, samples: int = 200) -> None:
        super().__init__(make_trunk, augment)
        self._strength = strength
        self._samples = samples
        self._importance: list[Tensor] = []
        self._centre: list[Tensor] = []

    def penalty(self, images_N3HW: Tensor, embeddings_ND: Tensor) -> Tensor:
        """Returns λ/2 Σ A (θ - c)²."""
        parts = [
            (importance * (weight - centre).square()).sum()
            for importance, weight, centre in zip(self._importance, self.trunk.parameters(), self._centre, strict=False)
        ]
        return 0.5 * self._strength * torch.stack(parts).sum() if parts else super().penalty(images_N3HW, embeddings_ND)

    def consolidate(self, pixels_NHW3: Tensor, labels_N: Tensor) -> None:
        """Fits the head, then takes the Fisher information of its answers into A, and the weights into c."""
        super().consolidate(pixels_NHW3, labels_N)
        weights = list(self.trunk.parameters())
        chosen = torch.randperm(len(pixels_NHW3))[: self._samples]
        task = self.newest
        fisher = diagonal_fisher(lambda images: self.logits(images, task), weights, to_images(pixels_NHW3[chosen]))
        if not self._importance:
            self._importance = [torch.zeros_like(weight) for weight in weights]
            self._centre = [weight.detach().clone() for weight in weights]
        for importance, centre, new, weight in zip(self._importance, self._centre, fisher, weights, strict=True):
            importance.add_(new)
            share = torch.where(importance > 0, new / importance, torch.ones_like(new))
            centre.lerp_(weight.detach(), share)

    def remembered(self) -> int:
        return sum(part.nbytes for part in (*self._importance, *self._centre))


def diagonal_fisher(logits: Callable[[Tensor], Tensor], weights: Sequence[Tensor], images_N3HW: Tensor) -> list[Tensor]:
    """Returns the diagonal of the Fisher information of each weight, the mean over the images.

    The expectation over labels is exact: every class counts by its probability. The labels of the images are not used.

    Args:
        logits: from images (1, 3, H, W) to scores (1, K).
        weights: that the logits depend on.
    """
    fisher = [torch.zeros_like(weight) for weight in weights]
    for image_3HW in images_N3HW:
        log_shares_K = logits(image_3HW[None])[0].log_softmax(dim=0)
        each_class = torch.eye(len(log_shares_K), device=log_shares_K.device)
        slopes = torch.autograd.grad(log_shares_K, weights, each_class, is_grads_batched=True)
        for total, slope_K in zip(fisher, slopes, strict=True):
            total.add_(torch.tensordot(log_shares_K.detach().exp(), slope_K.square(), dims=1) / len(images_N3HW))
    return fisher


METHOD = ContinualMethod(
    "EWC",
    "Kirkpatrick et al., PNAS 2017",
    ElasticWeights,
    {f"λ {strength:g}": partial(ElasticWeights, strength=strength) for strength in (40.0, 400.0, 4000.0)},
)
