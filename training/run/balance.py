"""Balancing of several objectives that share one backbone: by weights, fixed or learned, or by combining their gradients.

Each way is a module whose `backward` takes one step's losses and leaves gradients on every parameter. Losses arrive with a prior
weight: the recipe's, times the share of the batch that the objective uses. So their sum is a mean over images.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from training.run.recipes import Balancing

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torchjd.aggregation import Aggregator

_GRADNORM_RATE = 0.025
_GRADNORM_ALPHA = 1.5


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


class UncertaintyWeights(Balance):
    """Weights learned as the tasks' uncertainties (Kendall, Gal & Cipolla, CVPR 2018, equation 10).

    With s = log σ² per objective, minimises Σ w·(exp(-s)·L + s/2); s is trained with everything else and starts at 0.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.log_variance = nn.Parameter(torch.zeros(len(names)))

    def total(self, terms: Mapping[str, Term], embeddings_ND: Tensor) -> Tensor:  # noqa: ARG002
        parts = []
        for name, term in terms.items():
            s = self.log_variance[self.names.index(name)]
            parts.append(term.weight * (torch.exp(-s) * term.loss + s / 2))
        return torch.stack(parts).sum()


class GradNorm(Balance):
    """Weights that let every objective learn at a similar rate (Chen et al., ICML 2018, algorithm 1).

    The norm of an objective's gradient is taken at the embedding, where it costs no second pass through the backbone.
    """

    weights: Tensor
    first_losses: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.register_buffer("weights", torch.ones(len(names)))
        self.register_buffer("first_losses", torch.zeros(len(names)))

    def total(self, terms: Mapping[str, Term], embeddings_ND: Tensor) -> Tensor:
        chosen = torch.tensor([self.names.index(name) for name in terms], device=self.weights.device)
        losses = torch.stack([term.weight * term.loss for term in terms.values()])
        if len(terms) > 1:
            self._update(chosen, losses, embeddings_ND)
        weights = self.weights[chosen]
        return (weights * losses).sum() * len(terms) / weights.sum()  # they sum to their number whichever take part

    def _update(self, chosen: Tensor, losses: Tensor, embeddings_ND: Tensor) -> None:
        norms = torch.stack([torch.autograd.grad(loss, embeddings_ND, retain_graph=True)[0].norm() for loss in losses])
        now = losses.detach()
        first = torch.where(self.first_losses[chosen] == 0, now, self.first_losses[chosen])
        self.first_losses[chosen] = first
        weights = self.weights[chosen]
        weighted = weights * norms
        mean = weighted.mean()
        progress = now / first  # the inverse training rate
        target = mean * (progress / progress.mean()) ** _GRADNORM_ALPHA
        # A step down the gradient of Σ |w·G - target| (equation 2, target held constant) in log w, relative to the mean. So
        # weights stay positive, and the size of a step depends neither on the weights nor on the scale of the losses.
        weights = weights * torch.exp(-_GRADNORM_RATE * torch.sign(weighted - target) * weighted / mean)
        self.weights[chosen] = weights * len(weights) / weights.sum()


class GradientCombination(Balance):
    """The objectives' gradients of the backbone combined into one direction by an aggregator of torchjd.

    PCGrad (Yu et al., NeurIPS 2020) removes from each gradient the part that conflicts with another. MGDA (Désidéri 2012; Sener
    & Koltun, NeurIPS 2018) takes the shortest convex combination, which worsens no objective. The heads follow their own losses.
    """

    one_pass = False

    def __init__(self, names: Sequence[str], aggregator: "Aggregator", shared: Sequence[Parameter]) -> None:
        super().__init__(names)
        self._aggregator = aggregator
        self._shared = list(shared)

    def backward(self, terms: Mapping[str, Term], embeddings_ND: Tensor, fabric: "Fabric") -> None:
        if len(terms) == 1:
            super().backward(terms, embeddings_ND, fabric)
            return
        from torchjd.autojac import jac_to_grad, mtl_backward

        losses = [term.weight * term.loss for term in terms.values()]
        # One objective at a time: torch.vmap, the alternative, does not cover every backbone.
        mtl_backward(losses, features=embeddings_ND, shared_params=self._shared, parallel_chunk_size=1)
        jac_to_grad(self._shared, self._aggregator)


def make_balance(balancing: Balancing, names: Sequence[str], shared: Sequence[Parameter]) -> Balance:
    """Returns the way of balancing that a recipe names.

    Args:
        names: of every objective that can appear in a step.
        shared: the backbone's parameters.
    """
    match balancing:
        case "fixed":
            return Balance(names)
        case "uncertainty":
            return UncertaintyWeights(names)
        case "gradnorm":
            return GradNorm(names)
        case "pcgrad":
            from torchjd.aggregation import PCGrad

            return GradientCombination(names, PCGrad(), shared)
        case "mgda":
            from torchjd.aggregation import MGDA

            return GradientCombination(names, MGDA(), shared)
