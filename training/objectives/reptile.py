"""Reptile (Nichol, Achiam & Schulman, 2018, arXiv:1803.02999, algorithm 2).

From the start θ, k steps of gradient descent on minibatches of one task lead to φ. The start moves towards it: θ ← θ + ε(φ − θ).
No second derivative and no query set: support and queries are all training images. As the paper suggests (section 3), (θ − φ)/α
with the inner learning rate α is given to the optimiser as a gradient. It is the sum of the k gradients along the way.
"""

from itertools import repeat

import torch
from torch import Tensor, nn

from training.objectives.inner_loop import InnerLoopObjective, Weights, add_gradient, descend, labels_of, loss_of, weights_of
from training.objectives.methods import Episodes, MetaMethod, Published


class Reptile(InnerLoopObjective):
    """Shapes: see `training.objectives.inner_loop`.

    Args:
        dim, ways: see `InnerLoopObjective`.
        steps: k, minibatches of a task in training. Each class has equally many images in each.
            The authors' command for mini-ImageNet (README of openai/supervised-reptile) takes 8, of ten images.
        steps_in_use: on the whole support set; that command takes 50, and 10 keep measuring affordable.
        rate: α. The authors' inner optimiser is Adam at 1e-3. This is plain descent as in MAML, so that the two differ in the
            meta-gradient alone.
    """

    def __init__(self, dim: int, ways: int = 5, steps: int = 5, steps_in_use: int = 10, rate: float = 0.05) -> None:
        super().__init__(dim, ways)
        self.steps = steps
        self.steps_in_use = steps_in_use
        self.rate = rate

    def adapt(self, learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Weights:
        loss = loss_of(learner, images_n3HW, labels_n)
        return descend(repeat(loss, self.steps_in_use), weights_of(learner), self.rate)

    @torch.no_grad()
    def backward(self, backbone: nn.Module, support_TKS3HW: Tensor, query_TKQ3HW: Tensor) -> Tensor:
        """Adds (θ − φ)/α, the mean over the episodes, and returns the mean loss at θ of the first minibatches."""
        learner = self.learner(backbone)
        start = weights_of(learner)
        first_losses = []
        for images_Ks3HW in torch.cat([support_TKS3HW, query_TKQ3HW], dim=2):
            batches = images_Ks3HW.tensor_split(self.steps, dim=1)
            losses = [loss_of(learner, batch.flatten(0, 1), labels_of(batch[None])) for batch in batches]
            end = descend(iter(losses), start, self.rate)
            slopes = {name: (start[name] - end[name]) / self.rate for name in start}
            add_gradient(learner, slopes, 1 / len(support_TKS3HW))
            first_losses.append(losses[0](start))
        return torch.stack(first_losses).mean()


METHOD = MetaMethod(
    name="Reptile",
    family="optimisation",
    objective=Reptile,
    episodes=Episodes(tasks=2, shots=(5,), queries=10),  # 15 images a class, as its authors; 2 tasks a step, not 5, as MAML
    published=Published("mini-ImageNet only, 47.1 and 62.7 %"),
)
