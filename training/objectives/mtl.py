"""Multi-task learning with memory-efficient heads (Wang, Zhao & Li, ICML 2021, arXiv:2106.09017, section 5).

Joint training minimises the mean of the tasks' losses over the shared backbone and one head per task. With a head of its
own, each of the millions of possible N-way tasks would need N·D numbers; instead all tasks share one bank of class vectors,
and a task's head is the rows of its classes. With every base class in one task this is ordinary joint classification.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_INITIAL_SCALE = 10.0


class ClassBank(nn.Module):
    """One vector and one intercept per base class.

    Args:
        classes: C, the number of base classes.
        dim: D, the width of the embedding.
        normalise: whether embeddings are scaled to unit length, times a learned scale, before they meet the class vectors:
            then training judges the directions that few-shot heads will judge.
    """

    def __init__(self, classes: int, dim: int, *, normalise: bool = False) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(classes, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.scale = nn.Parameter(torch.tensor(_INITIAL_SCALE)) if normalise else None

    def logits(self, embeddings_ND: Tensor, tasks_TK: Tensor | None) -> Tensor:
        """Scores of each image against the classes of its task.

        Args:
            tasks_TK: the classes of T tasks of K ways; the N images are T equal runs, one per task. None is one task of
                every base class.

        Returns:
            (N, K), or (N, C) for one task of every class.
        """
        if self.scale is not None:
            embeddings_ND = self.scale * functional.normalize(embeddings_ND, dim=1)
        if tasks_TK is None:
            return embeddings_ND @ self.weight.T + self.bias
        embeddings_TnD = embeddings_ND.view(len(tasks_TK), -1, embeddings_ND.shape[1])
        logits_TnK = embeddings_TnD @ self.weight[tasks_TK].transpose(1, 2) + self.bias[tasks_TK][:, None]
        return logits_TnK.flatten(0, 1)

    def forward(self, embeddings_ND: Tensor, labels_N: Tensor, tasks_TK: Tensor | None) -> Tensor:
        """The mean cross-entropy over the images.

        Args:
            labels_N: indices of base classes.
            tasks_TK: as for `logits`.
        """
        targets_N = labels_N
        if tasks_TK is not None:
            labels_Tn = labels_N.view(len(tasks_TK), -1)
            targets_N = (labels_Tn[..., None] == tasks_TK[:, None]).to(torch.uint8).argmax(dim=2).flatten()
        return functional.cross_entropy(self.logits(embeddings_ND, tasks_TK), targets_N)
