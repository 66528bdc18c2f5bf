"""The interface of balancing, and the entries of its ways."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from training.entries import entries

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Term(NamedTuple):
    """One objective's loss in one step, and its prior weight."""

    loss: Tensor
    weight: float


class Balance(nn.Module):
    """The weighted sum of the losses, with the prior weights: `fixed`.

    Args:
        names: of every objective that can appear in a step.

    Attributes:
        one_pass: whether a step goes back through the backbone only once. A compiled backbone allows no second pass.
    """

    one_pass = True

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def positions(self, terms: Mapping[str, Term], device: torch.device) -> Tensor:
        """Returns where a step's objectives are among all names."""
        return torch.tensor([self.names.index(name) for name in terms], device=device)

    def backward(self, terms: Mapping[str, Term], embeddings_ND: Tensor, fabric: "Fabric") -> None:
        """Leaves gradients on the parameters behind the losses.

        Args:
            terms: the objectives of this step, by name.
            embeddings_ND: what all the losses were computed from.
        """
        fabric.backward(self.total(terms, embeddings_ND))

    def total(self, terms: Mapping[str, Term], embeddings_ND: Tensor) -> Tensor:  # noqa: ARG002
        """Returns the loss to minimise."""
        return torch.stack([term.weight * term.loss for term in terms.values()]).sum()


class BalancingError(ValueError):
    """There is no balancing of that name, or it needs libraries that are not there."""


@dataclass(frozen=True)
class Balancing:
    """One way of balancing, an entry of its file.

    Attributes:
        name: the recipe's `balancing`.
        source: the paper.
        make: makes it from the names of every objective that can appear in a step, and from the backbone's parameters.
        several_devices: whether it computes the same when each device has a part of the batch.
    """

    name: str
    source: str
    make: Callable[[Sequence[str], Sequence[Parameter]], Balance]
    several_devices: bool = False


def balancings() -> dict[str, Balancing]:
    """Returns the ways of balancing in `training/run/balance/` by name."""
    return entries("training.run.balance", Balancing)


def find_balancing(name: str) -> Balancing:
    """Returns the way of balancing of that name.

    Raises:
        BalancingError: there is none.
    """
    known = balancings()
    if name not in known:
        raise BalancingError(f"there is no {name}; there are {', '.join(sorted(known))}")
    return known[name]


FIXED = Balancing("fixed", "the recipe's weights", lambda names, _: Balance(names), several_devices=True)
