"""SNAIL: a simple neural attentive meta-learner (Mishra, Rohaninejad, Chen & Abbeel, ICLR 2018, arXiv:1707.03141).

An episode is a sequence: embeddings with their labels, then a query without. A causal network reads it and labels its end. It
alternates attention with temporal convolutions (section 3):

- a dense block appends tanh(a) ⊙ σ(b) to its input, with a and b causal convolutions of kernel 2 and dilation d;
- a TC block is dense blocks of dilations 1, 2, 4, … until they reach over the whole sequence;
- an attention block appends softmax(QKᵀ/√d_k) V, where no step looks ahead.

For classification they follow each other as attention (64, 32), TC (128), attention (256, 128), TC (128), attention (512, 256).

The end of the sequence alone is asked, and nothing before it sees it. So the support set is read once for all queries of an
episode: each query stands at step n, and looks at the support set and at itself.

As for Omniglot, a linear layer to 64 ends the network. Three things are not the paper's. On well
separated clusters they let the classifier leave chance within tens of steps:

- Keys start as queries do. So attention starts on images that are alike, and the label that it reads is often right.
- Labels are as long as embeddings, √64. At length 1, what attention reads is nearly all embedding.
- Batch normalisation follows the linear layer. It gives embeddings that length, and takes away the mean that they share, since
  Conv-4's values are rectified.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.objectives.episodic import EpisodicObjective, one_hot_labels
from training.objectives.methods import Episodes, MetaMethod, Published

_EMBEDDING = 64  # As for Omniglot.
_FILTERS = 128
_ATTENTION = ((64, 32), (256, 128), (512, 256))  # Widths of keys and values.


class Snail(EpisodicObjective):
    """Shapes: see `training.objectives.episodic`; C channels, and L = n + q steps: the support set, then each query at step n.

    Args:
        dim: D, the width of the embedding.
        ways: K of every episode, in training as in use.
        shots: the most support images of a class.
    """

    def __init__(self, dim: int, ways: int = 5, shots: int = 5) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim, _EMBEDDING, bias=False), nn.BatchNorm1d(_EMBEDDING))
        dilations = [2**i for i in range(math.ceil(math.log2(ways * shots + 1)))]
        channels = _EMBEDDING + ways
        blocks: list[nn.Module] = []
        for keys, values in _ATTENTION:
            blocks.append(CausalAttention(channels, keys, values))
            channels += values
            if values != _ATTENTION[-1][1]:
                blocks += [Dense(channels + i * _FILTERS, dilation) for i, dilation in enumerate(dilations)]
                channels += len(dilations) * _FILTERS
        self.blocks = nn.ModuleList(blocks)
        self.label = nn.Linear(channels, ways)

    def scores(self, support_TKSD: Tensor, query_TqD: Tensor) -> Tensor:
        """Returns the logits (T, q, K). They depend on the order of the support set, which training shuffles."""
        images_TLD = torch.cat([support_TKSD.flatten(1, 2), query_TqD], dim=1)
        embedded_TLE = self.embed(images_TLD.flatten(0, 1)).view(*images_TLD.shape[:2], -1)
        labels_nK = math.sqrt(_EMBEDDING) * one_hot_labels(support_TKSD)
        labels_LK = functional.pad(labels_nK, (0, 0, 0, query_TqD.shape[1]))
        x_TLC = torch.cat([embedded_TLE, labels_LK.expand(len(images_TLD), -1, -1)], dim=2)
        n = len(labels_nK)
        if self.training:
            x_TLC = torch.cat([x_TLC[:, torch.randperm(n, device=x_TLC.device)], x_TLC[:, n:]], dim=1)
        steps_L = torch.arange(x_TLC.shape[1], device=x_TLC.device).clamp(max=n)
        for block in self.blocks:
            x_TLC = torch.cat([x_TLC, block(x_TLC, steps_L)], dim=2)
        logits_TqK: Tensor = self.label(x_TLC[:, n:])
        return logits_TqK


class Dense(nn.Module):
    """A gated causal convolution of kernel 2: what it appends to its input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.now = nn.Linear(channels, 2 * _FILTERS)
        self.before = nn.Linear(channels, 2 * _FILTERS, bias=False)

    def forward(self, x_TLC: Tensor, steps_L: Tensor) -> Tensor:
        """Returns (T, L, filters); before the first step there are zeros. `steps_L` holds each entry's step."""
        earlier_L = steps_L - self.dilation
        before_TLC = self.before(x_TLC)[:, earlier_L.clamp(min=0)] * (earlier_L >= 0)[:, None]
        value_TLF, gate_TLF = (self.now(x_TLC) + before_TLC).chunk(2, dim=2)
        appended_TLF: Tensor = value_TLF.tanh() * gate_TLF.sigmoid()
        return appended_TLF


class CausalAttention(nn.Module):
    """One head of attention, to earlier steps and to itself: what it appends to its input."""

    def __init__(self, channels: int, keys: int, values: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, keys)
        self.key = nn.Linear(channels, keys)
        self.value = nn.Linear(channels, values)
        self.key.load_state_dict(self.query.state_dict())

    def forward(self, x_TLC: Tensor, steps_L: Tensor) -> Tensor:
        """Returns (T, L, values)."""
        scores_TLL = self.query(x_TLC) @ self.key(x_TLC).transpose(1, 2) / math.sqrt(self.key.out_features)
        seen_LL = (steps_L[:, None] > steps_L) | torch.eye(len(steps_L), dtype=torch.bool, device=x_TLC.device)
        read: Tensor = scores_TLL.masked_fill(~seen_LL, -torch.inf).softmax(dim=2) @ self.value(x_TLC)
        return read


METHOD = MetaMethod(
    name="SNAIL",
    family="black box",
    objective=Snail,
    episodes=Episodes(tasks=4, shots=(1, 5), queries=6),  # those of ANIL
    published=Published("with a ResNet, mini-ImageNet only"),
)
