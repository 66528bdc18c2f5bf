"""Tent: entropy minimisation on unlabelled target images (Wang et al., ICLR 2021, arXiv:2006.10726, section 3).

Batch normalisation takes the statistics of the target images. Its scales and shifts take gradient steps down the mean entropy of
the predictions, H = -Σ_k p_k log p_k. All other weights stay. The paper goes once over a stream of batches, a step each; here a
task's target images are one batch, which takes a few steps.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.backbones import Backbone
from training.adaptation.batch_statistics import BatchStatistics, norms_of
from training.adaptation.method import FromImages


def mean_entropy(scores_nK: Tensor) -> Tensor:
    """Returns the mean over the images of -Σ_k p_k log p_k, in nats."""
    logs_nK = scores_nK.log_softmax(dim=1)
    return -(logs_nK.exp() * logs_nK).sum(dim=1).mean()


@dataclass(frozen=True)
class EntropyMinimisation:
    """Adapts scales and shifts of batch normalisation by Adam; with no step it is `BatchStatistics`.

    Attributes:
        rate: of Adam; 0.001 is the authors' for CIFAR, on batches of 200 (`cfgs/tent.yaml` of DequanWang/tent on GitHub).
        steps: over the target images; 1 there.
    """

    rate: float = 0.001
    steps: int = 10

    def source(self, backbone: Backbone, images_n3HW: Tensor) -> Backbone:
        return BatchStatistics().source(backbone, images_n3HW)

    def adapt(self, backbone: Backbone, head: nn.Module, images_n3HW: Tensor) -> nn.Module:
        body = BatchStatistics().source(backbone, images_n3HW).requires_grad_(False)
        head = copy.deepcopy(head).requires_grad_(False)
        norms = norms_of(body)
        trained = [weight.requires_grad_(True) for norm in norms for weight in (norm.weight, norm.bias)]
        optimizer = torch.optim.Adam(trained, lr=self.rate)
        for norm in norms:
            norm.train()  # by the statistics of the batch, through which the gradient also goes
        for _ in range(self.steps):
            optimizer.zero_grad()
            torch.autograd.backward(mean_entropy(head(body(images_n3HW))))
            optimizer.step()
        return BatchStatistics().adapt(body.requires_grad_(False), head, images_n3HW)


METHOD = FromImages(
    "Tent",
    "Wang et al., ICLR 2021",
    {f"rate {rate:g}, steps {steps}": EntropyMinimisation(rate, steps) for rate in (1e-4, 1e-3) for steps in (1, 10)},
)
