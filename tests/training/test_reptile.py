"""Reptile against gradient descent, of which its gradient is the sum along the way."""

import torch
from torch import Tensor
from torch.nn import functional

from tests.helpers.meta_learning import K, Pictures, Q, S, T, gradients, start_anywhere
from training.objectives.maml import Maml
from training.objectives.reptile import Reptile


def slopes_of(pictures: Pictures, task: int, chosen: slice, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    images = torch.cat([pictures.support[task], pictures.query[task]], dim=1)[:, chosen]
    labels = torch.arange(K).repeat_interleave(images.shape[1])
    loss = functional.cross_entropy(images.flatten(2).flatten(0, 1) @ weight.T + bias, labels)
    return torch.autograd.grad(loss, (weight, bias))


def test_one_step_is_stochastic_gradient_descent() -> None:
    pictures = Pictures()
    reptile = Reptile(pictures.dim, K, steps=1)
    weight, bias = start_anywhere(reptile)
    expected = [slopes_of(pictures, task, slice(None), weight, bias) for task in range(T)]
    for gradient, *of_tasks in zip(gradients(reptile, pictures), *expected, strict=True):
        torch.testing.assert_close(gradient, torch.stack(of_tasks).mean(dim=0))


def test_more_steps_add_the_gradients_of_minibatches_up() -> None:
    pictures = Pictures()
    reptile = Reptile(pictures.dim, K, steps=2, rate=0.3)
    start = start_anywhere(reptile)
    totals = [torch.zeros_like(weight) for weight in start]
    for task in range(T):
        weight, bias = start
        for chosen in (slice(0, 3), slice(3, S + Q)):
            slopes = slopes_of(pictures, task, chosen, weight, bias)
            totals = [total + slope / T for total, slope in zip(totals, slopes, strict=True)]
            weight, bias = weight - 0.3 * slopes[0], bias - 0.3 * slopes[1]
    for gradient, total in zip(gradients(reptile, pictures), totals, strict=True):
        torch.testing.assert_close(gradient, total)


def test_in_use_it_adapts_as_maml_does() -> None:
    pictures = Pictures()
    reptile, maml = Reptile(pictures.dim, K, steps_in_use=3), Maml(pictures.dim, K, steps=3)
    start_anywhere(reptile)
    maml.double().load_state_dict(reptile.state_dict())
    scores = [method.scores(pictures.backbone, pictures.support, pictures.query.flatten(1, 2)) for method in (reptile, maml)]
    torch.testing.assert_close(*scores)
