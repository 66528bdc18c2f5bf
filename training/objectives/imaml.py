"""iMAML: meta-learning with implicit gradients (Rajeswaran, Finn, Kakade & Levine, NeurIPS 2019, arXiv:1909.04630).

The inner loop minimises L_support(φ) + λ/2 ‖φ − θ‖². At its minimum ∇L_support(φ) + λ(φ − θ) = 0, so by the implicit function
theorem dφ/dθ = (I + H/λ)⁻¹ with H the Hessian of L_support at φ, and the meta-gradient is (lemma 1, algorithm 2)

    g = (I + H/λ)⁻¹ ∇L_query(φ).

It depends on the end of the inner loop alone, not on the way there, whose memory is free. Conjugate gradients solve the system
with a few products of H with a vector. H is symmetric, so a product is the gradient's derivative, transposed, times the vector.
"""

from collections.abc import Callable
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.func import grad, grad_and_value, vjp

from training.objectives.inner_loop import (
    InnerLoopObjective,
    Loss,
    Weights,
    add_gradient,
    descend,
    flat,
    labels_of,
    loss_of,
    proximal,
    unflat,
    weights_of,
)
from training.objectives.methods import Episodes, MetaMethod, Published


class IMaml(InnerLoopObjective):
    """Shapes: see `training.objectives.inner_loop`.

    Args:
        dim, ways: see `InnerLoopObjective`.
        steps: of the inner loop, gradient descent; 10 are the paper's for mini-ImageNet.
        rate: its learning rate, MAML's here.
        strength: λ; 0.5 is the paper's for mini-ImageNet.
        solver_steps: of conjugate gradients; 5 are the paper's. The authors' code (aravindr93/imaml_dev on GitHub) has settings
            for Omniglot alone; `examples/iMAML.py` of prolearner/hypertorch has these three for mini-ImageNet.
    """

    def __init__(
        self, dim: int, ways: int = 5, steps: int = 10, rate: float = 0.05, strength: float = 0.5, solver_steps: int = 5
    ) -> None:
        super().__init__(dim, ways)
        self.steps = steps
        self.rate = rate
        self.strength = strength
        self.solver_steps = solver_steps

    def adapt(self, learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Weights:
        start = weights_of(learner)
        loss = proximal(loss_of(learner, images_n3HW, labels_n), start, self.strength)
        return descend(repeat(loss, self.steps), start, self.rate)

    @torch.no_grad()
    def backward(self, backbone: nn.Module, support_TKS3HW: Tensor, query_TKQ3HW: Tensor) -> Tensor:
        """Adds g, the mean over the episodes, and returns the mean query loss at φ."""
        learner = self.learner(backbone)
        losses = []
        for support_KS3HW, query_KQ3HW in zip(support_TKS3HW, query_TKQ3HW, strict=True):
            support, labels = support_KS3HW.flatten(0, 1), labels_of(support_KS3HW[None])
            end = self.adapt(learner, support, labels)
            query_loss = loss_of(learner, query_KQ3HW.flatten(0, 1), labels_of(query_KQ3HW[None]))
            slopes, loss = grad_and_value(query_loss)(end)
            meta_P = self._implicit(loss_of(learner, support, labels), end, flat(slopes))
            add_gradient(learner, unflat(meta_P, end), 1 / len(support_TKS3HW))
            losses.append(loss)
        return torch.stack(losses).mean()

    def _implicit(self, loss: Loss, end: Weights, slope_P: Tensor) -> Tensor:
        """Returns (I + H/λ)⁻¹ times the slope."""
        hessian = vjp(grad(loss), end)[1]

        def product(vector_P: Tensor) -> Tensor:
            return vector_P + flat(hessian(unflat(vector_P, end))[0]) / self.strength

        return conjugate_gradients(product, slope_P, self.solver_steps)


def conjugate_gradients(product: Callable[[Tensor], Tensor], right_P: Tensor, steps: int) -> Tensor:
    """Solves A x = b for symmetric A, given its product with a vector (Nocedal & Wright, algorithm 5.2).

    It starts from b and ends at the first direction without positive curvature: H may be indefinite before the inner loop is at a
    minimum, and the solution so far still lessens the loss.
    """
    x_P = right_P
    residual_P = right_P - product(x_P)
    direction_P = residual_P
    square = residual_P @ residual_P
    for _ in range(steps):
        image_P = product(direction_P)
        curvature = direction_P @ image_P
        if curvature <= 0:
            break
        length = square / curvature
        x_P = x_P + length * direction_P
        residual_P = residual_P - length * image_P
        square, before = residual_P @ residual_P, square
        direction_P = residual_P + square / before * direction_P
    return x_P


METHOD = MetaMethod(
    name="iMAML",
    family="optimisation",
    objective=IMaml,
    episodes=Episodes(tasks=2, shots=(1, 5), queries=6),  # those of MAML
    published=Published("mini-ImageNet only, 49.3 % at 1 shot"),
)
