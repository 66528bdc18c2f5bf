"""Dynamic task prioritisation: more weight for what is still done badly (Guo, Haque, Huang, Yeung & Fei-Fei, ECCV 2018,
equations 3 to 5).

With κ_k in [0, 1] how well objective k is done, and κ̄_k its moving average, its weight is −(1 − κ̄_k)^γ log κ̄_k.

The paper's κ is an accuracy. Not every objective here has one, so κ = exp(−L): of a cross-entropy that is the geometric mean of
the right classes' probabilities. Weights are scaled to sum to their number, so that the learning rate keeps its meaning.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.run.balance.base import Balance, Balancing, Term

_FOCUS = 1.0
_KEPT = 0.99


class DynamicTaskPrioritisation(Balance):
    """Follows how well each objective is done. γ is 1, and a step moves the average by a hundredth."""

    done: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.register_buffer("done", torch.zeros(len(names)))

    def total(self, terms: Mapping[str, Term], embeddings_ND: Tensor) -> Tensor:  # noqa: ARG002
        chosen = self.positions(terms, self.done.device)
        losses = torch.stack([term.loss for term in terms.values()])
        priors = losses.new_tensor([term.weight for term in terms.values()])
        now = torch.exp(-losses.detach()).clamp(1e-6, 1 - 1e-6)
        done = torch.where(self.done[chosen] == 0, now, _KEPT * self.done[chosen] + (1 - _KEPT) * now)
        self.done[chosen] = done
        weights = -((1 - done) ** _FOCUS) * done.log()
        return (weights * priors * losses).sum() * len(terms) / weights.sum()


BALANCING = Balancing("dtp", "Guo et al., ECCV 2018", lambda names, _: DynamicTaskPrioritisation(names))
