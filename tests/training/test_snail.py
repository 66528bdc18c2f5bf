"""SNAIL against the paper's network, which reads the support set anew for each query."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.helpers.meta_learning import D, K, Q, S, T, embedded_episodes
from training.objectives import snail
from training.objectives.episodic import query_loss
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
    labels_LK = 8 * torch.eye(K + 1, K, dtype=torch.double)
    embedded_LE = net.embed(torch.cat([support_nD, query_D[None]]))
    shots = torch.tensor([len(support_nD) // K] * K + [1])
    x_CL = torch.cat([embedded_LE, labels_LK.repeat_interleave(shots, dim=0)], dim=1).T
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


def test_it_soon_learns_to_read_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes are new in every episode, so that nothing but their labels tells them apart."""
    monkeypatch.setattr(snail, "_FILTERS", 16)
    torch.manual_seed(0)
    net = Snail(32, K, shots=1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    right = []
    for _ in range(20):
        images = functional.relu(2 * torch.randn(8, K, 1, 32) + 0.5 * torch.randn(8, K, 1 + Q, 32))
        scores = net.scores(images[:, :, :1], images[:, :, 1:].flatten(1, 2))
        optimizer.zero_grad()
        query_loss(scores).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        right.append(scores.argmax(dim=2) == torch.arange(K).repeat_interleave(Q))
    assert torch.stack(right[10:]).double().mean() > 0.8
