"""SNAIL against the paper's network, which reads the support set anew for each query."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.helpers.meta_learning import D, K, S, T, embedded_episodes
from training.objectives import snail
from training.objectives.snail import CausalAttention, Dense, Snail


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Snail:
    monkeypatch.setattr(snail, "_FILTERS", 6)
    monkeypatch.setattr(snail, "_ATTENTION", ((5, 3), (6, 4)))
    torch.manual_seed(0)
    return Snail(D, K, S).double().eval()


def dense(block: Dense, x_CL: Tensor) -> Tensor:
    """The gated convolution, by PyTorch's own."""
    kernel = torch.stack([block.before.weight, block.now.weight], dim=2)
    padded = functional.pad(x_CL, (block.dilation, 0))
    value, gate = functional.conv1d(padded[None], kernel, block.now.bias, dilation=block.dilation)[0].chunk(2)
    return value.tanh() * gate.sigmoid()


def attention(block: nn.Module, x_CL: Tensor) -> Tensor:
    assert isinstance(block, CausalAttention)
    q, k, v = (linear(x_CL.T)[None] for linear in (block.query, block.key, block.value))
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)[0].T


def sequential(net: Snail, support_nD: Tensor, query_D: Tensor) -> Tensor:
    """The logits (K,) of the last step of one sequence."""
    labels_nK = torch.eye(K, dtype=torch.double).repeat_interleave(len(support_nD) // K, dim=0)
    x_CL = torch.cat([torch.cat([support_nD, labels_nK], dim=1), torch.cat([query_D, torch.zeros(K)])[None]]).T
    for block in net.blocks:
        x_CL = torch.cat([x_CL, dense(block, x_CL) if isinstance(block, Dense) else attention(block, x_CL)])
    logits: Tensor = net.label(x_CL[:, -1])
    return logits


@pytest.mark.parametrize("shots", [1, S])
def test_reading_the_support_set_once_changes_nothing(net: Snail, shots: int) -> None:
    support, query = embedded_episodes()
    support = support[:, :, :shots]
    scores = net.scores(support, query.flatten(1, 2))
    for t in range(T):
        expected = [sequential(net, support[t].flatten(0, 1), one) for one in query[t].flatten(0, 1)]
        torch.testing.assert_close(scores[t], torch.stack(expected))


def test_dilations_reach_over_the_longest_sequence(net: Snail) -> None:
    dilations = [block.dilation for block in net.blocks if isinstance(block, Dense)]
    assert dilations == [1, 2, 4, 8]
    assert sum(dilations) >= K * S


def test_training_shuffles_the_support_set(net: Snail) -> None:
    support, query = embedded_episodes()
    drawn = [net.train().scores(support, query.flatten(1, 2)) for _ in range(2)]
    assert not torch.equal(*drawn)
