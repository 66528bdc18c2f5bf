"""Multi-task learning with memory-efficient heads (Wang, Zhao & Li, ICML 2021, arXiv:2106.09017, section 5).

Joint training minimises the mean of the tasks' losses over the shared backbone and one head per task. With heads of their own,
each of the millions of possible N-way tasks would need N·D numbers. Instead all tasks share one bank of class vectors, and a
task's head is the rows of its classes. With every base class in one task this is ordinary joint classification.
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
        normalise: whether embeddings are scaled to unit length, times a learned scale, before they meet the class vectors.
            Training then uses directions, as few-shot heads will.
        cosine_scale: where given, scores are this times the cosine between embedding and class vector, without intercepts
            (Gidaris & Komodakis, CVPR 2018, section 3.2, with the scale fixed).
        label_smoothing: share of each label that is spread over the classes of its task.
    """

    def __init__(
        self, classes: int, dim: int, *, normalise: bool = False, cosine_scale: float | None = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self._cosine_scale = cosine_scale
        self._label_smoothing = label_smoothing
        bound = 1.0 / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(classes, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.scale = nn.Parameter(torch.tensor(_INITIAL_SCALE)) if normalise else None

    def logits(self, embeddings_ND: Tensor, tasks_TK: Tensor | None) -> Tensor:
        """Returns the scores of each image against the classes of its task.

        Args:
            tasks_TK: the classes of T tasks of K ways; the N images are T equal runs, one per task. None is one task of
                every base class.

        Returns:
            (N, K), or (N, C) for one task of every class.
        """
        weight_CD: Tensor = self.weight
        bias_C: Tensor = self.bias
        if self._cosine_scale is not None:
            embeddings_ND = self._cosine_scale * functional.normalize(embeddings_ND, dim=1)
            weight_CD, bias_C = functional.normalize(weight_CD, dim=1), torch.zeros_like(bias_C)
        elif self.scale is not None:
            embeddings_ND = self.scale * functional.normalize(embeddings_ND, dim=1)
        if tasks_TK is None:
            return embeddings_ND @ weight_CD.T + bias_C
        embeddings_TnD = embeddings_ND.view(len(tasks_TK), -1, embeddings_ND.shape[1])
        logits_TnK = embeddings_TnD @ weight_CD[tasks_TK].transpose(1, 2) + bias_C[tasks_TK][:, None]
        return logits_TnK.flatten(0, 1)

    def forward(self, embeddings_ND: Tensor, labels_N: Tensor, tasks_TK: Tensor | None) -> Tensor:
        """Returns the mean cross-entropy over the images.

        Args:
            labels_N: indices of base classes.
            tasks_TK: as for `logits`.
        """
        targets_N = labels_N
        if tasks_TK is not None:
            labels_Tn = labels_N.view(len(tasks_TK), -1)
            targets_N = (labels_Tn[..., None] == tasks_TK[:, None]).to(torch.uint8).argmax(dim=2).flatten()
        logits_NK = self.logits(embeddings_ND, tasks_TK)
        return functional.cross_entropy(logits_NK, targets_N, label_smoothing=self._label_smoothing)
