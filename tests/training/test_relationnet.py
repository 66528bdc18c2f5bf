"""Relation networks: each query with each class, by itself."""

import pytest
import torch

from tests.helpers.meta_learning import K, Q, T, embedded_episodes
from training.objectives.relationnet import RelationNet

CHANNELS = 4


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_relation_is_that_of_a_querys_map_on_the_sum_of_a_classs(side: int) -> None:
    dim = CHANNELS * side**2
    support, query = embedded_episodes(dim)
    net = RelationNet(dim, CHANNELS).double().eval()
    scores = net.scores(support, query.flatten(1, 2))
    assert scores.shape == (T, K * Q, K)
    for t in range(T):
        for q in range(K * Q):
            for k in range(K):
                pair = torch.cat([support[t, k].sum(dim=0), query[t].flatten(0, 1)[q]]).view(1, 2 * CHANNELS, side, side)
                torch.testing.assert_close(scores[t, q, k], net.relation(pair)[0, 0])


def test_the_loss_is_the_squared_error() -> None:
    support, query = embedded_episodes(CHANNELS)
    net = RelationNet(CHANNELS, CHANNELS).double().eval()
    scores = net.scores(support, query.flatten(1, 2))
    squares = [(scores[t, q, k] - (1 if q // Q == k else 0)) ** 2 for t in range(T) for q in range(K * Q) for k in range(K)]
    torch.testing.assert_close(net(support, query), torch.stack(squares).mean())
