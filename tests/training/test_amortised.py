"""The amortised adapter: no order matters, it starts as prototypes, and it is no function of a class's mean alone."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from tests.helpers.meta_learning import D, K, S, T, embedded_episodes
from training.objectives.amortised import AmortisedHead, Attention
from training.objectives.protonet import ProtoNet


@pytest.fixture(scope="module")
def trained() -> AmortisedHead:
    """One that no longer is where it starts."""
    torch.manual_seed(3)
    head = AmortisedHead(D, width=16, heads=2).double()
    nn.init.normal_(head.write.weight)
    nn.init.normal_(head.write.bias)
    return head


def test_it_starts_as_prototypes() -> None:
    support, query = embedded_episodes()
    fresh = AmortisedHead(D, width=16, heads=2).double()
    torch.testing.assert_close(fresh(support, query), ProtoNet()(support, query))


@settings(deadline=None, max_examples=20)
@given(classes=st.permutations(range(K)), examples=st.lists(st.permutations(range(S)), min_size=K, max_size=K))
def test_no_order_matters(trained: AmortisedHead, classes: list[int], examples: list[list[int]]) -> None:
    support, query = embedded_episodes()
    queries = query.flatten(1, 2)
    reordered = torch.stack([support[:, k, order] for k, order in zip(range(K), examples, strict=True)], dim=1)[:, classes]
    torch.testing.assert_close(trained.scores(reordered, queries), trained.scores(support, queries)[:, :, classes])


def test_examples_and_other_classes_matter(trained: AmortisedHead) -> None:
    support, _ = embedded_episodes()
    weight, _ = trained.layer(support)
    spread = support.mean(dim=2, keepdim=True) + 2 * (support - support.mean(dim=2, keepdim=True))  # has the same means
    assert (trained.layer(spread)[0] - weight).abs().max() > 0.01
    other = support.clone()
    other[:, 1] += 1
    assert (trained.layer(other)[0] - weight)[:, 0].abs().max() > 0.01


def test_every_part_is_learned(trained: AmortisedHead) -> None:
    trained.zero_grad()
    trained(*embedded_episodes()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in trained.parameters())


def test_attention_is_the_papers_block() -> None:
    torch.manual_seed(0)
    block = Attention(6, 2).double()
    x, y = torch.randn(1, 4, 6, dtype=torch.double), torch.randn(1, 5, 6, dtype=torch.double)
    q, k, v = (
        (part @ w.T + b).view(-1, 2, 3)
        for part, w, b in zip(
            (x[0], y[0], y[0]), block.attend.in_proj_weight.chunk(3), block.attend.in_proj_bias.chunk(3), strict=True
        )
    )
    heads = [(q[:, h] @ k[:, h].T / np.sqrt(3)).softmax(dim=1) @ v[:, h] for h in range(2)]
    h = block.norms[0](x[0] + block.attend.out_proj(torch.cat(heads, dim=1)))
    torch.testing.assert_close(block(x, y)[0], block.norms[1](h + block.feed(h).clamp(min=0)))


def test_shots_may_change(trained: AmortisedHead) -> None:
    support, query = embedded_episodes()
    assert trained.scores(support[:, :, :1], query.flatten(1, 2)).shape == (T, query.flatten(1, 2).shape[1], K)
