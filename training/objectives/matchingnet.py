"""Matching networks (Vinyals, Blundell, Lillicrap, Kavukcuoglu & Wierstra, NeurIPS 2016, arXiv:1606.04080).

A query's class is a vote of the support images, weighted by attention (equation 1): P(y | x) = Σ_i a(x, x_i) y_i, with a the
softmax over i of the cosine between f(x, S) and g(x_i, S). Both are full context embeddings (sections 2.1.2, A.1 and A.2):

- g runs a bidirectional LSTM over the support set and adds its two states to the embedding;
- f reads the support set K times by attention in an LSTM: ĥ, c = LSTM(x, [h, r], c);  h = ĥ + x;  r = Σ_i softmax(hᵀ g_i) g_i,
  from h = x and c = 0.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.objectives.episodic import EpisodicObjective
from training.objectives.methods import Episodes, MetaMethod, Published


class MatchingNet(EpisodicObjective):
    """Shapes: see `training.objectives.episodic`.

    Args:
        dim: D, the width of the embedding.
        reads: K, how often f reads the support set.
        scale: of the cosine in the attention. The paper has 1, with which no class is more than e² times as probable as another,
            and training is slow.
    """

    def __init__(self, dim: int, reads: int = 5, scale: float = 10.0) -> None:
        super().__init__()
        self.reads = reads
        self.scale = scale
        self.support_reader = nn.LSTM(dim, dim, bidirectional=True, batch_first=True)
        self.query_reader = nn.LSTMCell(2 * dim, dim)

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns log P(y | x), (T, q, K). It depends on the order of the support set, as a recurrent network does."""
        support_TnD = self._in_context(support_TKSD.flatten(1, 2))
        query_TqD = self._read(query_TqD, support_TnD)
        cosine_Tqn = functional.normalize(query_TqD, dim=2) @ functional.normalize(support_TnD, dim=2).transpose(1, 2)
        votes_Tqn = (self.scale * cosine_Tqn).log_softmax(dim=2)
        return votes_Tqn.view(*votes_Tqn.shape[:2], *support_TKSD.shape[1:3]).logsumexp(dim=3)

    def _in_context(self, x_TnD: Tensor) -> Tensor:
        states_Tn2D, _ = self.support_reader(x_TnD)
        in_context_TnD: Tensor = x_TnD + sum(states_Tn2D.chunk(2, dim=2))
        return in_context_TnD

    def _read(self, x_TqD: Tensor, support_TnD: Tensor) -> Tensor:
        h_TqD, cell_ND = x_TqD, torch.zeros_like(x_TqD).flatten(0, 1)
        for _ in range(self.reads):
            r_TqD = (h_TqD @ support_TnD.transpose(1, 2)).softmax(dim=2) @ support_TnD
            inputs_N2D = torch.cat([x_TqD, r_TqD], dim=2).flatten(0, 1)
            hidden_ND, cell_ND = self.query_reader(inputs_N2D, (h_TqD.flatten(0, 1), cell_ND))
            h_TqD = x_TqD + hidden_ND.view_as(x_TqD)
        return h_TqD


METHOD = MetaMethod(
    name="MatchingNet",
    family="metric",
    objective=lambda dim, _ways: MatchingNet(dim),
    episodes=Episodes(tasks=4, shots=(1, 5), queries=6),  # those of ANIL
    published=Published("mini-ImageNet only, 43.6 and 55.3 %, by Ravi & Larochelle"),
)
