"""Multi-task learning with memory-efficient heads (Wang, Zhao & Li, ICML 2021, arXiv:2106.09017, section 5).

Joint training minimises the mean of the tasks' losses over the shared backbone and one head per task. With a head of its
own, each of the millions of possible N-way tasks would need N·D numbers; instead all tasks share one bank of class vectors,
and a task's head is the rows of its classes. With every base class in one task this is ordinary joint classification.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class ClassBank(nn.Module):
    """One vector and one intercept per base class.

    Args:
        classes: C, the number of base classes.
        dim: D, the width of the embedding.
    """

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(classes, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, embeddings_ND: Tensor, labels_N: Tensor, tasks_TK: Tensor | None) -> Tensor:
        """The mean cross-entropy.

        Args:
            labels_N: indices of base classes.
            tasks_TK: the classes of T tasks of K ways; the N images are T equal runs, one per task. None is one task of
                every base class.
        """
        if tasks_TK is None:
            return functional.cross_entropy(embeddings_ND @ self.weight.T + self.bias, labels_N)
        tasks = len(tasks_TK)
        embeddings_TnD = embeddings_ND.view(tasks, -1, embeddings_ND.shape[1])
        logits_TnK = embeddings_TnD @ self.weight[tasks_TK].transpose(1, 2) + self.bias[tasks_TK][:, None]
        within_Tn = (labels_N.view(tasks, -1, 1) == tasks_TK[:, None]).to(torch.uint8).argmax(dim=2)
        return functional.cross_entropy(logits_TnK.flatten(0, 1), within_Tn.flatten())
