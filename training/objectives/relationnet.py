"""Relation networks (Sung, Yang, Zhang, Xiang, Torr & Hospedales, CVPR 2018, arXiv:1711.06025).

The distance is learned. The feature maps of a class's support images are added up, and stacked on those of a query. Two
convolutional blocks and two linear layers make a relation in [0, 1] of that. It is regressed onto one for the query's own class,
and onto zero for the others (equation 2).
"""

from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.objectives.episodic import EpisodicObjective
from training.objectives.methods import Episodes, MetaMethod, Published

_HIDDEN = 8  # As in the paper.


class RelationNet(EpisodicObjective):
    """Shapes: see `training.objectives.episodic`; an embedding is a flattened map (C, side, side), D = C · side².

    The paper takes away the last two poolings of Conv-4, so that a map of 84 x 84 pixels is 19 x 19. Here it is the Conv-4 of all
    methods, whose map of 32 x 32 pixels is 2 x 2.

    Args:
        dim: D.
        channels: C; 64 in Conv-4.
    """

    def __init__(self, dim: int, channels: int = 64) -> None:
        super().__init__()
        self.map = (channels, isqrt(dim // channels), isqrt(dim // channels))
        pooled = -(-self.map[1] // 4)
        self.relation = nn.Sequential(
            *_block(2 * channels, channels),
            *_block(channels, channels),
            nn.Flatten(),
            nn.Linear(channels * pooled**2, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, 1),
            nn.Sigmoid(),
        )

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns the relations of queries to classes, (T, q, K)."""
        tasks, queries, ways = *query_TqD.shape[:2], support_TKSD.shape[1]
        classes_TqKD = support_TKSD.sum(dim=2)[:, None].expand(-1, queries, -1, -1)
        queries_TqKD = query_TqD[:, :, None].expand(-1, -1, ways, -1)
        pairs = torch.cat([part.reshape(-1, *self.map) for part in (classes_TqKD, queries_TqKD)], dim=1)
        relations: Tensor = self.relation(pairs).view(tasks, queries, ways)
        return relations

    def forward(self, support_TKSD: Tensor, query_TKQD: Tensor) -> Tensor:
        """Returns the mean squared error of the relations."""
        relations_TqK = self.scores(support_TKSD, query_TKQD.flatten(1, 2))
        truth_KK = torch.eye(query_TKQD.shape[1], dtype=relations_TqK.dtype, device=relations_TqK.device)
        truth_qK = truth_KK.repeat_interleave(query_TKQD.shape[2], dim=0)
        return functional.mse_loss(relations_TqK, truth_qK.expand_as(relations_TqK))


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU, pooling. Padding, and pooling that rounds up, let maps be as small as 1 x 1."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]


METHOD = MetaMethod(
    name="RelationNet",
    family="metric",
    objective=lambda dim, _ways: RelationNet(dim),
    episodes=Episodes(tasks=4, shots=(1, 5), queries=6),  # those of ANIL
    published=Published(
        "Bertinetto et al., arXiv:1805.08136v1, with 64, 96, 128 and 256 filters (Lee et al., CVPR 2019, table 2)",
        {1: 0.550, 5: 0.693},
    ),
)
