"""One comparison of two steps, and the plain passes that an algorithm cannot do without."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Step = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Our step of a method, and another's.

    Attributes:
        beside: a package, or the passes that the algorithm needs.
        prepare: makes both steps on the same images, ours first. It raises `ImportError` where the package is missing.
    """

    method: str
    beside: str
    prepare: Callable[[], tuple[Step, Step]]


def passes(
    network: nn.Module, learned: Sequence[Tensor], read: Sequence[Tensor] = (), optimizer: torch.optim.Optimizer | None = None
) -> Step:
    """Returns plain passes of a network: forward and backward on each batch of `learned`, forward alone on each of `read`.

    Args:
        optimizer: makes a step after each backward.
    """

    def step() -> None:
        with torch.no_grad():
            for batch in read:
                network(batch)
        for batch in learned:
            torch.autograd.backward(network(batch).square().mean())
            if optimizer:
                optimizer.step()
                optimizer.zero_grad()

    return step


def in_turn(steps: Iterable[Step]) -> Step:
    """Returns the steps one after the other, as one."""
    all_steps = list(steps)

    def step() -> None:
        for one in all_steps:
            one()

    return step
