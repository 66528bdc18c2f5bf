"""R2-D2: ridge regression as the differentiable classifier (Bertinetto, Henriques, Torr & Vedaldi, ICLR 2019,
arXiv:1805.08136).

With the support embeddings X (n, D) and one-hot labels Y (n, K), W = (XᵀX + λI)⁻¹ XᵀY. By the Woodbury identity that is
Xᵀ (XXᵀ + λI)⁻¹ Y: an n-wide system instead of a D-wide one. It is differentiable as it stands. λ and the scale α of the logits
α·X'W + β are learned with the backbone. The paper's shift β is left out, because it cancels in the softmax.
"""

import math

import torch
from torch import Tensor, nn

from training.objectives.episodic import EpisodicObjective, one_hot_labels
from training.objectives.methods import Episodes, MetaMethod, Published


class RidgeHead(EpisodicObjective):
    """Learns λ and α, both as logarithms, which keeps them positive. Shapes: see `training.objectives.episodic`.

    Args:
        penalty: λ at the start. MetaOptNet's code has 50 (`R2D2Head`), and so has R2-D2's own (bertinetto/r2d2 on GitHub), which
            divides X and Y by √n. Neither learns it, as the paper does.
        scale: α at the start.
    """

    def __init__(self, penalty: float = 50.0, scale: float = 5.0) -> None:
        super().__init__()
        self.log_penalty = nn.Parameter(torch.tensor(math.log(penalty)))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns α · X' Xᵀ (XXᵀ + λI)⁻¹ Y."""
        x_TnD = support_TKSD.flatten(1, 2)
        y_nK = one_hot_labels(support_TKSD)
        identity_nn = torch.eye(x_TnD.shape[1], dtype=x_TnD.dtype, device=x_TnD.device)
        factor_Tnn = torch.linalg.cholesky(x_TnD @ x_TnD.transpose(1, 2) + self.log_penalty.exp() * identity_nn)
        dual_TnK = torch.cholesky_solve(y_nK.expand(len(x_TnD), -1, -1), factor_Tnn)
        return self.log_scale.exp() * (query_TqD @ x_TnD.transpose(1, 2) @ dual_TnK)


METHOD = MetaMethod(
    name="R2D2",
    family="optimisation",
    objective=lambda _dim, _ways: RidgeHead(),
    episodes=Episodes(tasks=4, shots=(5,), queries=6),  # as for MetaOptNet, whose authors' code trains both alike
    published=Published("Bertinetto et al., arXiv:1805.08136v1, with 64 filters", {1: 0.600, 5: 0.761}),
)
