"""GradNorm: weights that let every objective learn at a similar rate (Chen et al., ICML 2018, arXiv:1711.02257, algorithm 1).

The norm of an objective's gradient is taken at the embedding, where it costs no second pass through the backbone.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.run.balance.base import Balance, Balancing, Term

_RATE = 0.025
_ALPHA = 1.5


class GradNorm(Balance):
    """Raises the weight of an objective whose loss has fallen less than the others'."""

    weights: Tensor
    first_losses: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.register_buffer("weights", torch.ones(len(names)))
        self.register_buffer("first_losses", torch.zeros(len(names)))

    def total(self, terms: Mapping[str, Term], embeddings_ND: Tensor) -> Tensor:
        chosen = self.positions(terms, self.weights.device)
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
        target = mean * (progress / progress.mean()) ** _ALPHA
        # A step down the gradient of Σ |w·G - target| (equation 2, target held constant) in log w, relative to the mean. So
        # weights stay positive, and the size of a step depends neither on the weights nor on the scale of the losses.
        weights = weights * torch.exp(-_RATE * torch.sign(weighted - target) * weighted / mean)
        self.weights[chosen] = weights * len(weights) / weights.sum()


BALANCING = Balancing("gradnorm", "Chen et al., ICML 2018", lambda names, _: GradNorm(names))
