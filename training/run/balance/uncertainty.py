"""Weights learned as the tasks' uncertainties (Kendall, Gal & Cipolla, CVPR 2018, arXiv:1705.07115)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from training.run.balance.base import Balance, Balancing, Term


class UncertaintyWeights(Balance):
    """With s = log σ² per objective, minimises Σ w·(exp(-s)·L + s/2); s is trained with everything else and starts at 0."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.log_variance = nn.Parameter(torch.zeros(len(names)))

    def total(self, terms: Mapping[str, Term], embeddings_ND: Tensor) -> Tensor:  # noqa: ARG002
        s = self.log_variance[self.positions(terms, self.log_variance.device)]
        losses = torch.stack([term.loss for term in terms.values()])
        priors = losses.new_tensor([term.weight for term in terms.values()])
        return (priors * (torch.exp(-s) * losses + s / 2)).sum()


BALANCING = Balancing(
    "uncertainty", "Kendall, Gal & Cipolla, CVPR 2018", lambda names, _: UncertaintyWeights(names), several_devices=True
)
