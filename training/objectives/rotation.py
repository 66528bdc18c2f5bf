"""Rotation as a second task: predicting by how many quarter turns an image was rotated.

From Gidaris et al., ICLR 2018; as an auxiliary loss for few-shot backbones, Gidaris et al., ICCV 2019.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

TURNS = 4


def turn(images_N3HW: Tensor, turns_N: Tensor) -> Tensor:
    """Returns each square image rotated counter-clockwise by its number of quarter turns (0 to 3)."""
    quarters = torch.stack([torch.rot90(images_N3HW, quarter, dims=(2, 3)) for quarter in range(TURNS)])
    return quarters[turns_N, torch.arange(len(images_N3HW), device=images_N3HW.device)]


class Rotation(nn.Module):
    """A four-way linear head on the embedding."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, TURNS)

    def forward(self, embeddings_ND: Tensor, turns_N: Tensor) -> Tensor:
        """Returns the mean cross-entropy of predicting each image's number of quarter turns."""
        return functional.cross_entropy(self.head(embeddings_ND), turns_N)
