"""An amortised adapter: one network maps a support set to the last layer, f(D) → (W, b), in a single forward pass.

It is the set transformer (Lee, Lee, Kim, Kosiorek, Choi & Teh, ICML 2019, arXiv:1810.00825) on embeddings with labels. Amortised
heads are due to Gordon et al. (VERSA, ICLR 2019, arXiv:1805.09921), and attention among classes to Ye et al. (FEAT, CVPR 2020).

An example's token is made of its embedding and of the mean of its class. So a label is who else has it, and nothing has an order.
Tokens attend to each other (the paper's SAB, equations 6 to 8), a learned seed pools those of each class (PMA, equation 11), and
the classes' tokens attend to each other. Each gives its class's row of W and b. Another order of a class's examples changes
nothing, and another order of the classes reorders the rows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.objectives.episodic import EpisodicObjective
from training.objectives.methods import Episodes, MetaMethod, Published


class AmortisedHead(EpisodicObjective):
    """Shapes: see `training.objectives.episodic`; H is the width of a token.

    The last layer starts as that of prototypical networks, W = 2μ and b = −‖μ‖² with μ the classes' means. The transformer learns
    what to add.

    Args:
        dim: D, the width of the embedding.
        width: H.
        heads: of attention.
    """

    def __init__(self, dim: int, width: int = 128, heads: int = 4) -> None:
        super().__init__()
        self.read = nn.Linear(2 * dim, width)
        self.examples = Attention(width, heads)
        self.seed = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pool = Attention(width, heads)
        self.classes = Attention(width, heads)
        self.write = nn.Linear(width, dim + 1)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def layer(self, support_TKSD: Tensor) -> tuple[Tensor, Tensor]:
        """Returns W (T, K, D) and b (T, K)."""
        means_TKD = support_TKSD.mean(dim=2)
        labelled_TKS2D = torch.cat([support_TKSD, means_TKD[:, :, None].expand_as(support_TKSD)], dim=3)
        tokens_TnH = self.read(labelled_TKS2D.flatten(1, 2))
        tokens_TnH = self.examples(tokens_TnH, tokens_TnH)
        of_class_NSH = tokens_TnH.reshape(-1, support_TKSD.shape[2], tokens_TnH.shape[2])
        pooled_N1H = self.pool(self.seed.expand(len(of_class_NSH), -1, -1), of_class_NSH)
        classes_TKH = pooled_N1H.view(*means_TKD.shape[:2], -1)
        added_TKd = self.write(self.classes(classes_TKH, classes_TKH))
        return 2 * means_TKD + added_TKd[..., 1:], added_TKd[..., 0] - means_TKD.square().sum(dim=2)

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns X' Wᵀ + b."""
        weight_TKD, bias_TK = self.layer(support_TKSD)
        return query_TqD @ weight_TKD.transpose(1, 2) + bias_TK[:, None]


class Attention(nn.Module):
    """MAB(X, Y) = LN(h + ReLU(h A + a)) with h = LN(X + Multihead(X, Y, Y)); equations 6 and 7 of the set transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed = nn.Linear(width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x_NaH: Tensor, y_NbH: Tensor) -> Tensor:
        """Returns x after it has attended to y, (N, a, H)."""
        h_NaH = self.norms[0](x_NaH + self.attend(x_NaH, y_NbH, y_NbH, need_weights=False)[0])
        out_NaH: Tensor = self.norms[1](h_NaH + functional.relu(self.feed(h_NaH)))
        return out_NaH


METHOD = MetaMethod(
    name="amortised",
    family="black box",
    objective=lambda dim, _ways: AmortisedHead(dim),
    episodes=Episodes(tasks=4, shots=(1, 5), queries=6),  # those of ANIL
    published=Published("of our own making; with Conv-4 on mini-ImageNet VERSA has 53.4 and 67.4 %"),
)
