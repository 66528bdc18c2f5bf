"""Meta-MinibatchProx (Zhou, Yuan, Xu, Yan & Feng, NeurIPS 2019: Efficient Meta Learning via Minibatch Proximal Update).

Each task's weights stay near the start by a proximal term, and the start minimises what the tasks then reach:

    minimise  mean over tasks of  F(θ) = min_φ L(φ) + λ/2 ‖φ − θ‖².

F is the Moreau envelope of the task's loss L. Its gradient is λ(θ − φ*) with φ* the inner minimum, so nothing is differentiated
through the inner loop. The inner problem is solved by a few steps of gradient descent, as in the paper's algorithm 1. There is
no query set: support and queries are all training images.
"""

from itertools import repeat

import torch
from torch import Tensor, nn

from training.objectives.inner_loop import (
    InnerLoopObjective,
    Loss,
    Weights,
    add_gradient,
    descend,
    labels_of,
    loss_of,
    proximal,
    weights_of,
)
from training.objectives.methods import Episodes, MetaMethod, Published


class MinibatchProx(InnerLoopObjective):
    """Shapes: see `training.objectives.inner_loop`.

    Args:
        dim, ways: see `InnerLoopObjective`.
        steps: of the inner loop in training; MAML's here. The authors' commands (metaminibatchprox/code on GitHub,
            `run_miniimagenet55-01.py`) take 8 of Adam, on batches of ten.
        steps_in_use: of the inner loop in use; 50 there, and 10 keep measuring affordable.
        rate: its learning rate, MAML's here.
        strength: λ; 0.1 is the authors' for 5 ways.
    """

    def __init__(
        self, dim: int, ways: int = 5, steps: int = 5, steps_in_use: int = 10, rate: float = 0.05, strength: float = 0.1
    ) -> None:
        super().__init__(dim, ways)
        self.steps = steps
        self.steps_in_use = steps_in_use
        self.rate = rate
        self.strength = strength

    def adapt(self, learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Weights:
        return self._minimise(loss_of(learner, images_n3HW, labels_n), weights_of(learner), self.steps_in_use)

    def _minimise(self, loss: Loss, start: Weights, steps: int) -> Weights:
        return descend(repeat(proximal(loss, start, self.strength), steps), start, self.rate)

    @torch.no_grad()
    def backward(self, backbone: nn.Module, support_TKS3HW: Tensor, query_TKQ3HW: Tensor) -> Tensor:
        """Adds λ(θ − φ), the mean over the episodes, and returns the mean of L(φ)."""
        learner = self.learner(backbone)
        start = weights_of(learner)
        images_TKs3HW = torch.cat([support_TKS3HW, query_TKQ3HW], dim=2)
        reached = []
        for images_n3HW in images_TKs3HW.flatten(1, 2):
            loss = loss_of(learner, images_n3HW, labels_of(images_TKs3HW))
            end = self._minimise(loss, start, self.steps)
            slopes = {name: self.strength * (start[name] - end[name]) for name in start}
            add_gradient(learner, slopes, 1 / len(images_TKs3HW))
            reached.append(loss(end))
        return torch.stack(reached).mean()


METHOD = MetaMethod(
    name="Meta-MinibatchProx",
    family="optimisation",
    objective=MinibatchProx,
    episodes=Episodes(tasks=2, shots=(5,), queries=10),  # those of Reptile
    published=Published("mini-ImageNet and tiered-ImageNet only"),
)
