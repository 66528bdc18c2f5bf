"""Batch normalisation by the statistics of unlabelled target images.

AdaBN (Li et al., 2016, arXiv:1603.04779, algorithm 1) normalises each domain by its own means and variances: the source's images
by the source's, the target's by the target's. Schneider et al. (NeurIPS 2020, arXiv:2006.16971, equation 2) mix them with those
of training for few images: μ = (1 − s) μ_train + s μ_images, and so the variances. There s = n/(N + n), where N says how many
images the statistics of training are worth. A share s of 1 is AdaBN.

In both papers a network was trained on the source, whose statistics it has. Here it was trained on other images, and only the
head was fitted on the source. So the source's few images are normalised in the same way before the head is fitted: with the
same s, although they are fewer. By the same N the two domains would differ in how they are normalised, even without a shift.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.backbones import Backbone
from training.adaptation.method import FromImages


@dataclass(frozen=True)
class BatchStatistics:
    """Measures every layer's statistics in one pass over all images, from the first layer upwards.

    Attributes:
        share: s, in [0, 1].
    """

    share: float = 1.0

    @torch.no_grad()
    def source(self, backbone: Backbone, images_n3HW: Tensor) -> Backbone:
        normalised = copy.deepcopy(backbone).eval()
        hooks = [norm.register_forward_pre_hook(_mixing(self.share)) for norm in norms_of(normalised)]
        normalised(images_n3HW)
        for hook in hooks:
            hook.remove()
        return normalised

    def adapt(self, backbone: Backbone, head: nn.Module, images_n3HW: Tensor) -> nn.Module:
        return nn.Sequential(self.source(backbone, images_n3HW), head).eval()


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Returns the layers of batch normalisation."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _mixing(share: float) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def mix(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Gives a layer its statistics just before it uses them, so that the layers above it see what it will pass on."""
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        cast("Tensor", norm.running_mean).lerp_(mean, share)
        cast("Tensor", norm.running_var).lerp_(variance, share)

    return mix


METHOD = FromImages(
    "batch statistics",
    "Schneider et al., NeurIPS 2020",
    {f"share {share:g}": BatchStatistics(share) for share in (0.1, 0.25, 0.5, 1.0)},
)
