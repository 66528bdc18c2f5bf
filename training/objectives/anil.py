"""ANIL: almost no inner loop (Raghu, Raghu, Bengio & Vinyals, ICLR 2020, arXiv:1909.09157).

MAML whose inner loop adapts the last layer alone. The layer is linear, so the gradient of its cross-entropy is written out,
(softmax(XWᵀ + b) − Y)ᵀ X / n, for all episodes at once. Autograd then differentiates the steps, second order included. The
backbone does not move within an episode, so one forward pass embeds the whole batch. That makes ANIL cheap.

In the first-order form, as in FOMAML, these gradients count as constants. The backbone then learns from the queries alone.
"""

from functools import partial

import torch
from torch import Tensor, nn

from training.objectives.episodic import EpisodicObjective, one_hot_labels
from training.objectives.methods import Episodes, MetaMethod, Published


class Anil(EpisodicObjective):
    """Learns where the last layer starts. Shapes: see `training.objectives.episodic`.

    It starts from zero. The order of an episode's classes means nothing, so a random start would only have to be unlearned (Kao
    et al., ICLR 2022, arXiv:2106.15367).

    Args:
        dim: D, the width of the embedding.
        ways: K of every episode, in training as in use.
        steps: of the inner loop.
        rate: its learning rate; at 0.01, MAML's, five steps are too short for Conv-4's embeddings on CIFAR-FS.
        first_order: whether it is of first order.
    """

    def __init__(self, dim: int, ways: int = 5, steps: int = 5, rate: float = 0.1, *, first_order: bool = False) -> None:
        super().__init__()
        self.steps = steps
        self.rate = rate
        self.first_order = first_order
        self.weight = nn.Parameter(torch.zeros(ways, dim))
        self.bias = nn.Parameter(torch.zeros(ways))

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns the logits (T, q, K) of the last layer after the inner loop."""
        x_TnD = support_TKSD.flatten(1, 2)
        y_nK = one_hot_labels(support_TKSD)
        weight_TKD = self.weight.expand(len(x_TnD), -1, -1)
        bias_T1K = self.bias.expand(len(x_TnD), 1, -1)
        for _ in range(self.steps):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.first_order):
                error_TnK = ((x_TnD @ weight_TKD.transpose(1, 2) + bias_T1K).softmax(dim=2) - y_nK) / len(y_nK)
                slope_TKD = error_TnK.transpose(1, 2) @ x_TnD
            weight_TKD = weight_TKD - self.rate * slope_TKD
            bias_T1K = bias_T1K - self.rate * error_TnK.sum(dim=1, keepdim=True)
        return query_TqD @ weight_TKD.transpose(1, 2) + bias_T1K


# 1-shot and 5-shot episodes in turn: the inner loop depends on the shots more than a closed form does.
_EPISODES = Episodes(tasks=4, shots=(1, 5), queries=6)

METHOD = MetaMethod(
    name="ANIL",
    family="optimisation",
    objective=Anil,
    episodes=_EPISODES,
    published=Published("learn2learn's result, as PaddleFSL's reports it", {5: 0.683}),
)
FIRST_ORDER = MetaMethod(
    name="first-order ANIL",
    family="optimisation",
    objective=partial(Anil, first_order=True),
    episodes=_EPISODES,
    published=Published("PaddleFSL's results, with 64 filters", {1: 0.562, 5: 0.686}),
)
