"""Dynamic weight average: more weight for losses that fall slowly (Liu, Johns & Davison, CVPR 2019, arXiv:1803.10704,
equation 7).

With L_k(t) the mean loss of objective k in period t, and K objectives,

    w_k = L_k(t − 1) / L_k(t − 2),   λ_k = K exp(w_k / T) / Σ_i exp(w_i / T),   T = 2.

The paper's period is an epoch, and w_k = 1 until two are over. Here it is a hundred steps in which the objective takes part. T is
that of the authors' code (`--temp` of lorenmt/mtan on GitHub).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.run.balance.base import Balance, Balancing, Term

_TEMPERATURE = 2.0
_STEPS = 100


class DynamicWeightAverage(Balance):
    """Compares each objective's mean loss in the last two periods.

    Args:
        steps: of a period.
    """

    sums: Tensor
    counts: Tensor
    means: Tensor

    def __init__(self, names: Sequence[str], steps: int = _STEPS) -> None:
        super().__init__(names)
        self.steps = steps
        self.register_buffer("sums", torch.zeros(len(names)))
        self.register_buffer("counts", torch.zeros(len(names)))
        self.register_buffer("means", torch.zeros(2, len(names)))  # of the last period and of the one before; 0 until it is over

    def total(self, terms: Mapping[str, Term], embeddings_ND: Tensor) -> Tensor:  # noqa: ARG002
        chosen = self.positions(terms, self.sums.device)
        losses = torch.stack([term.loss for term in terms.values()])
        priors = losses.new_tensor([term.weight for term in terms.values()])
        last, before = self.means[:, chosen]
        ratios = torch.where(before > 0, last / before, 1.0)
        weights = len(terms) * (ratios / _TEMPERATURE).softmax(dim=0)
        self._remember(chosen, losses.detach())
        return (weights * priors * losses).sum()

    def _remember(self, chosen: Tensor, losses: Tensor) -> None:
        self.sums[chosen] += losses
        self.counts[chosen] += 1
        over = self.counts == self.steps
        self.means = torch.where(over, torch.stack((self.sums / self.steps, self.means[0])), self.means)
        self.sums, self.counts = self.sums * ~over, self.counts * ~over


BALANCING = Balancing("dwa", "Liu, Johns & Davison, CVPR 2019", lambda names, _: DynamicWeightAverage(names))
