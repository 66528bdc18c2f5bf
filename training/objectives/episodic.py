"""The shared parts of the episodic baselines. An episode's queries are classified from its support set, and the loss is their
cross-entropy.

Shape legend: T episodes, K classes (ways), S support images and Q queries of each class, n = K·S, q = K·Q, D features.
Row k of an episode holds images of its class k.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional


class EpisodicObjective(nn.Module, ABC):
    """A differentiable classifier on embeddings, so that all episodes of a batch are embedded in one forward pass."""

    @abstractmethod
    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns the logits (T, q, K) of each episode's queries."""

    def forward(self, support_TKSD: Tensor, query_TKQD: Tensor) -> Tensor:
        """Returns the mean cross-entropy of all queries."""
        return query_loss(self.scores(support_TKSD, query_TKQD.flatten(1, 2)))


def query_loss(scores_TqK: Tensor) -> Tensor:
    """Returns the mean cross-entropy of queries in the order of their classes, equally many of each."""
    tasks, queries, ways = scores_TqK.shape
    labels_q = torch.arange(ways, device=scores_TqK.device).repeat_interleave(queries // ways)
    return functional.cross_entropy(scores_TqK.flatten(0, 1), labels_q.repeat(tasks))


def one_hot_labels(support_TKSD: Tensor) -> Tensor:
    """Returns the classes of an episode's flattened support set, (n, K)."""
    ways, shots = support_TKSD.shape[1:3]
    return torch.eye(ways, dtype=support_TKSD.dtype, device=support_TKSD.device).repeat_interleave(shots, dim=0)
