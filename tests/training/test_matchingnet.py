"""Matching networks against the paper's sums, written for one query at a time."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from tests.helpers.meta_learning import D, K, S, T, embedded_episodes
from training.objectives.matchingnet import MatchingNet

Array = NDArray[np.float64]


def cell(x: Array, h: Array, c: Array, weights: list[Array]) -> tuple[Array, Array]:
    """A step of an LSTM."""
    w_x, w_h, b_x, b_h = weights
    i, f, g, o = np.split(w_x @ x + b_x + w_h @ h + b_h, 4)
    c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    return np.tanh(c) / (1 + np.exp(-o)), c


def states(xs: Array, weights: list[Array]) -> Array:
    h, c, all_of_them = np.zeros(D), np.zeros(D), []
    for x in xs:
        h, c = cell(x, h, c, weights)
        all_of_them.append(h)
    return np.array(all_of_them)


def probabilities(net: MatchingNet, support: Array, query: Array) -> Array:
    reader = [weight.detach().numpy() for weight in net.support_reader.parameters()]
    g = support + states(support, reader[:4]) + states(support[::-1], reader[4:])[::-1]
    h, c = query, np.zeros(D)
    for _ in range(net.reads):
        r = softmax(g @ h) @ g
        h_hat, c = cell(np.concatenate([query, r]), h, c, [weight.detach().numpy() for weight in net.query_reader.parameters()])
        h = h_hat + query
    cosine = (g @ h) / np.linalg.norm(g, axis=1) / np.linalg.norm(h)
    votes: Array = softmax(net.scale * cosine) @ np.repeat(np.eye(K), S, axis=0)
    return votes


def test_it_is_the_papers() -> None:
    support, query = embedded_episodes()
    net = MatchingNet(D, reads=3).double()
    scores = net.scores(support, query.flatten(1, 2)).exp().detach().numpy()
    for t in range(T):
        expected = [probabilities(net, support[t].flatten(0, 1).numpy(), one.numpy()) for one in query[t].flatten(0, 1)]
        np.testing.assert_allclose(scores[t], expected, rtol=1e-9)


def test_without_context_it_votes_by_cosine() -> None:
    """Silent LSTMs leave equation 1 on plain embeddings."""
    support, query = embedded_episodes()
    net = MatchingNet(D).double()
    for weight in net.parameters():
        nn.init.zeros_(weight)
    a, b = support.flatten(1, 2), query.flatten(1, 2)
    cosine = torch.cosine_similarity(b[:, :, None], a[:, None], dim=3)
    votes = (net.scale * cosine).softmax(dim=2) @ torch.eye(K, dtype=torch.double).repeat_interleave(S, dim=0)
    torch.testing.assert_close(net.scores(support, b).exp(), votes)
