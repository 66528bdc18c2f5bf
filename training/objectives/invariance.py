"""Invariance as another task: versions of one image are near each other, and far from those of other images.

Rizve et al., CVPR 2021, arXiv:2103.01315, section 3.2: beside rotation, which keeps what differs between an image's versions, a
contrastive loss on a projection keeps what they share. There, other images come from a memory bank. Here they are those of the
batch, as in Chen et al. (SimCLR, ICML 2020, arXiv:2002.05709), where the projection and the temperature are from.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTH = 128
_TEMPERATURE = 0.1


class Invariance(nn.Module):
    """A projection of the embedding, linear, ReLU, linear, in which the versions of an image are compared."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, _WIDTH))

    def forward(self, versions_VND: Tensor) -> Tensor:
        """Returns the mean over images i and versions v > 0 of -log(exp(s_ii / τ) / Σ_j exp(s_ij / τ)).

        s_ij is the cosine between the projections of image i's first version and of image j's version v.

        Args:
            versions_VND: embeddings of V versions of N images.
        """
        first_NP, *others = functional.normalize(self.head(versions_VND), dim=2)
        scores_VNN = first_NP @ torch.stack(others).transpose(1, 2) / _TEMPERATURE
        own_N = torch.arange(len(first_NP), device=first_NP.device)
        return functional.cross_entropy(scores_VNN.flatten(0, 1), own_N.repeat(len(others)))
