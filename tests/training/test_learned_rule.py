"""The learned update rule against a loop over single weights in NumPy, and against plain gradient descent."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tests.helpers.meta_learning import K, Pictures, S, gradients, start_anywhere
from training.objectives.learned_rule import LearnedRule, preprocessed
from training.objectives.maml import Maml

LABELS = torch.arange(K).repeat_interleave(S)


def test_open_gates_make_it_gradient_descent() -> None:
    pictures = Pictures()
    rule, maml = LearnedRule(pictures.dim, K, steps=3, rate=0.2), Maml(pictures.dim, K, steps=3, rate=0.2)
    start_anywhere(rule)
    for gate in (rule.input_gate, rule.forget_gate):
        nn.init.zeros_(gate.weight)
    nn.init.constant_(rule.forget_gate.bias, 50.0)
    maml.double().head.load_state_dict(rule.head.state_dict())
    scores = [method.scores(pictures.backbone, pictures.support, pictures.query.flatten(1, 2)) for method in (rule, maml)]
    torch.testing.assert_close(*scores)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def test_two_steps_of_one_weight_are_those_of_numpy() -> None:
    pictures = Pictures()
    rule = LearnedRule(pictures.dim, K, steps=2)
    weight, bias = start_anywhere(rule)
    for gate in (rule.input_gate, rule.forget_gate):
        nn.init.normal_(gate.weight)
    images = pictures.support[0].flatten(0, 1)
    adapted = rule.adapt(rule.learner(pictures.backbone), images, LABELS)

    def slope_and_loss(weights: list[torch.Tensor]) -> tuple[float, float]:
        loss = functional.cross_entropy(images.flatten(1) @ weights[0].T + weights[1], LABELS)
        return torch.autograd.grad(loss, weights)[1][0].item(), loss.item()

    def read(number: float) -> list[float]:
        return [np.log(abs(number)) / 10, np.sign(number)]

    (w_x, w_h, b_x, b_h), gates = (
        [p.detach().numpy() for p in rule.reader.parameters()],
        [(gate.weight.detach().numpy()[0], gate.bias.item()) for gate in (rule.input_gate, rule.forget_gate)],
    )
    h, memory, c, before = np.zeros(20), np.zeros(20), bias[0].item(), [0.0, 1.0]
    after_one = once(rule).adapt(rule.learner(pictures.backbone), images, LABELS)
    for at in ([weight, bias], list(after_one.values())):
        slope, loss = slope_and_loss([part.detach().requires_grad_() for part in at])
        i, f, g, o = np.split(w_x @ np.array(read(slope) + read(loss)) + b_x + w_h @ h + b_h, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(memory)
        before = [float(sigmoid(w @ np.array([*h, c, was]) + b)) for (w, b), was in zip(gates, before, strict=True)]
        c = before[1] * c - before[0] * slope
    assert adapted["1.bias"][0].item() == pytest.approx(c, rel=1e-9)


def once(rule: LearnedRule) -> LearnedRule:
    """The same rule with one step."""
    other = LearnedRule(rule.head.in_features, K, steps=1).double()
    other.load_state_dict(rule.state_dict())
    return other


def test_small_numbers_are_read_linearly() -> None:
    rows = preprocessed(torch.tensor([np.e**-2, -(np.e**-5), 1e-6, 0.0], dtype=torch.double)).numpy()
    np.testing.assert_allclose(rows, [[-0.2, 1], [-0.5, -1], [-1, np.exp(10) * 1e-6], [-1, 0]], atol=1e-12)


def test_the_start_and_the_rule_are_learned() -> None:
    pictures = Pictures()
    rule = LearnedRule(pictures.dim, K)
    start_anywhere(rule)
    assert all(gradient.abs().sum() > 0 for gradient in gradients(rule, pictures))
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in rule.parameters())
