"""Manifold mixup: the feature maps of two images are mixed, and so are their losses.

Verma et al., ICML 2019, arXiv:1806.05236, section 2; for few-shot backbones Mangla et al. (S2M2, WACV 2020, arXiv:1907.12087).
At a block drawn at random, image i goes on as λ·g_i + (1 - λ)·g_j with λ ~ Beta(α, α) and j drawn from the batch. Cross-entropy
is linear in the target. So the loss for the mixed target is λ times the loss for i's plus 1 - λ times that for j's.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Beta


class Mix(NamedTuple):
    """The mixing of one batch.

    Attributes:
        block: whose input is mixed; 0 mixes the images themselves.
        share: λ, of each image in its mixture.
        partners_N: the other image of each mixture, from the same dataset.
    """

    block: int
    share: float
    partners_N: Tensor

    def maps(self, maps_NCHW: Tensor) -> Tensor:
        """Returns the mixed feature maps, or images."""
        return torch.lerp(maps_NCHW[self.partners_N], maps_NCHW, self.share)

    def losses(self, own: Mapping[str, Tensor], partners: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns each objective's loss, from those for the targets of the images and of their partners."""
        return {name: torch.lerp(partners[name], loss, self.share) for name, loss in own.items()}


def draw_mix(counts: Sequence[int], blocks: int, alpha: float, device: torch.device) -> Mix:
    """Returns a mix of a batch, drawn with PyTorch's global random numbers.

    Args:
        counts: how many images of each dataset follow each other in the batch.
        blocks: of the network.
        alpha: α of the Beta distribution.
    """
    block = int(torch.randint(blocks, ()))
    share = float(Beta(alpha, alpha).sample())
    starts = torch.tensor([0, *counts]).cumsum(0).tolist()
    partners = [start + torch.randperm(count, device=device) for start, count in zip(starts, counts, strict=False)]
    return Mix(block, share, torch.cat(partners))
