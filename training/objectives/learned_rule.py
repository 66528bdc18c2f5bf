"""The learned update rule, or meta-LSTM (Ravi & Larochelle, ICLR 2017: Optimization as a Model for Few-Shot Learning).

The weights c of the learner are the cell of an LSTM that all of them share (equations 2 to 5). With the gradient ∇ of the support
loss ℓ at c, a step is

    c ← f ⊙ c − i ⊙ ∇,   i = σ(W_i [h, c, i before] + b_i),   f = σ(W_f [h, c, f before] + b_f),

where h is the state of an ordinary LSTM that reads ∇ and ℓ, preprocessed as in Andrychowicz et al. (2016). The start of c is
learned: here it is the backbone and the last layer themselves. The paper's assumption that ∇ does not depend on the start makes
the meta-gradient one of first order; it flows through the f's to the start and through the gates to the LSTM.
"""

import math

import torch
from torch import Tensor, nn
from torch.func import grad_and_value

from training.objectives.inner_loop import InnerLoopObjective, Weights, flat, loss_of, unflat, weights_of
from training.objectives.methods import Episodes, MetaMethod, Published

_SMALLEST = 10.0  # p of the preprocessing: numbers below exp(−p) are scaled linearly.
_STATE = 20  # The width of the LSTM that reads gradients, as in the paper's code.


class LearnedRule(InnerLoopObjective):
    """Learns the rule beside the backbone and the last layer. Shapes: see `training.objectives.inner_loop`.

    Args:
        dim, ways: see `InnerLoopObjective`.
        steps: of the rule, MAML's here. The authors' code (twitter-research/meta-learning-lstm on GitHub, `config/lstm`) takes 12
            for 1 shot and 8 for 5.
        rate: what i is at first. f is 0.9933 then, σ(5). The authors' code (`model/lstm/meta-learner-lstm.lua`) draws the bias of
            f from (4, 5), and that of i from (−5, −4), so that i is about 0.01. MAML's rate is what works here.
    """

    def __init__(self, dim: int, ways: int = 5, steps: int = 5, rate: float = 0.05) -> None:
        super().__init__(dim, ways)
        self.steps = steps
        self.reader = nn.LSTMCell(4, _STATE)
        self.input_gate = _gate(math.log(rate / (1 - rate)))
        self.forget_gate = _gate(5.0)

    def adapt(self, learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Weights:
        loss_and_slopes = grad_and_value(loss_of(learner, images_n3HW, labels_n))
        start = weights_of(learner)
        cell_P = flat(start)
        state = cell_P.new_zeros(len(cell_P), _STATE), cell_P.new_zeros(len(cell_P), _STATE)
        input_P, forget_P = torch.zeros_like(cell_P), torch.ones_like(cell_P)
        for _ in range(self.steps):
            slopes, loss = loss_and_slopes(unflat(cell_P.detach(), start))
            slope_P = flat(slopes).detach()
            state = self.reader(torch.cat([preprocessed(slope_P), preprocessed(loss.detach().expand_as(slope_P))], dim=1), state)
            read = [state[0], cell_P[:, None]]
            input_P = self.input_gate(torch.cat([*read, input_P[:, None]], dim=1)).sigmoid()[:, 0]
            forget_P = self.forget_gate(torch.cat([*read, forget_P[:, None]], dim=1)).sigmoid()[:, 0]
            cell_P = forget_P * cell_P - input_P * slope_P
        return unflat(cell_P, start)


def _gate(bias: float) -> nn.Linear:
    gate = nn.Linear(_STATE + 2, 1)
    nn.init.uniform_(gate.weight, -0.01, 0.01)
    nn.init.constant_(gate.bias, bias)
    return gate


def preprocessed(x_P: Tensor) -> Tensor:
    """Returns size and sign of each number, (P, 2): (log|x| / p, sign x) where |x| ≥ exp(−p), else (−1, exp(p) x)."""
    large_P = x_P.abs() >= math.exp(-_SMALLEST)
    size_P = torch.where(large_P, x_P.abs().clamp(min=math.exp(-_SMALLEST)).log() / _SMALLEST, -1.0)
    return torch.stack([size_P, torch.where(large_P, x_P.sign(), math.exp(_SMALLEST) * x_P)], dim=1)


METHOD = MetaMethod(
    name="meta-LSTM",
    family="optimisation",
    objective=LearnedRule,
    episodes=Episodes(tasks=2, shots=(1, 5), queries=6),  # those of MAML; the paper has one episode a step
    published=Published("mini-ImageNet only, 43.4 and 60.6 %"),
)
