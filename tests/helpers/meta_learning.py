"""Episodes to test meta-learning methods with: of embeddings, and of tiny images for a network that adapts."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.objectives.inner_loop import InnerLoopObjective

T, K, S, Q, D = 2, 3, 3, 2, 8


def embedded_episodes(dim: int = D) -> tuple[Tensor, Tensor]:
    """Support (T, K, S, D) and queries (T, K, Q, D) around class means that they share, in double precision."""
    torch.manual_seed(0)
    means = torch.randn(T, K, 1, dim, dtype=torch.double)
    return means + torch.randn(T, K, S, dim, dtype=torch.double), means + torch.randn(T, K, Q, dim, dtype=torch.double)


class Pictures:
    """Two episodes of 2 x 2 pictures, and a network that is linear in them, so that a task's loss is convex and smooth."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.backbone = nn.Flatten()
        self.dim = 12
        means = torch.randn(T, K, 1, 3, 2, 2, dtype=torch.double)
        self.support = means + torch.randn(T, K, S, 3, 2, 2, dtype=torch.double)
        self.query = means + torch.randn(T, K, Q, 3, 2, 2, dtype=torch.double)


def start_anywhere(objective: InnerLoopObjective) -> list[Tensor]:
    """Moves the last layer away from zero, in double precision, and returns its weights."""
    objective.double()
    for weight in objective.head.parameters():
        nn.init.normal_(weight, std=0.3)
    return list(objective.head.parameters())


def gradients(objective: InnerLoopObjective, pictures: Pictures) -> list[Tensor]:
    """Those of the last layer that one call of `backward` leaves."""
    objective.zero_grad()
    objective.backward(pictures.backbone, pictures.support, pictures.query)
    return [weight.grad for weight in objective.head.parameters() if weight.grad is not None]


def finite_differences(of: Callable[[], float], weights: list[Tensor], step: float = 1e-5) -> list[Tensor]:
    """The central differences of a number with each weight."""
    slopes = [torch.zeros_like(weight) for weight in weights]
    for weight, slope in zip(weights, slopes, strict=True):
        for i in range(weight.numel()):
            values = []
            for sign in (1, -1):
                weight.data.view(-1)[i] += sign * step
                values.append(of())
                weight.data.view(-1)[i] -= sign * step
            slope.view(-1)[i] = (values[0] - values[1]) / (2 * step)
    return slopes
