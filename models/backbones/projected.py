"""A network followed by a linear map of its embeddings."""

import torch
from torch import Tensor, nn


class Projected(nn.Module):
    """Maps normalised images (N, 3, H, W) to embeddings (N, W): those of `network` (N, D), times `matrix_DW`.

    There is no bias, so the length of the network's embeddings never matters to heads, which use directions only.
    """

    def __init__(self, network: nn.Module, matrix_DW: Tensor) -> None:
        super().__init__()
        self.network = network
        self.embedding_dim = matrix_DW.shape[1]
        self.linear = nn.Linear(matrix_DW.shape[0], matrix_DW.shape[1], bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(matrix_DW.T)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        projected_NW: Tensor = self.linear(self.network(x_N3HW))
        return projected_NW
