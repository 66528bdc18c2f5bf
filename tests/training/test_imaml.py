"""iMAML's implicit gradient against finite differences of the whole inner problem, and against a dense solution."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.helpers.meta_learning import K, Pictures, Q, finite_differences, gradients, start_anywhere
from training.objectives.imaml import IMaml, conjugate_gradients


def test_it_is_the_derivative_of_where_the_inner_loop_ends() -> None:
    """With enough steps: then the inner loop is at its minimum, and the system is solved."""
    pictures = Pictures()
    imaml = IMaml(pictures.dim, K, steps=120, rate=0.3, strength=0.7, solver_steps=40)
    _, bias = start_anywhere(imaml)

    def loss() -> float:
        with torch.no_grad():
            scores = imaml.scores(pictures.backbone, pictures.support, pictures.query.flatten(1, 2))
        labels = torch.arange(K).repeat_interleave(Q).expand(len(scores), -1)
        return functional.cross_entropy(scores.flatten(0, 1), labels.flatten()).item()

    found = gradients(imaml, pictures)
    assert imaml.backward(pictures.backbone, pictures.support, pictures.query).item() == pytest.approx(loss())
    torch.testing.assert_close(found[1], finite_differences(loss, [bias])[0], atol=1e-7, rtol=1e-5)


def test_a_strong_tie_makes_it_the_plain_gradient() -> None:
    pictures = Pictures()
    imaml = IMaml(pictures.dim, K, rate=1e-9, strength=1e8)
    weights = start_anywhere(imaml)
    logits = imaml.head(pictures.query.flatten(3).flatten(0, 2))
    loss = functional.cross_entropy(logits, torch.arange(K).repeat_interleave(Q).repeat(2))
    for gradient, oracle in zip(gradients(imaml, pictures), torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(gradient, oracle, atol=1e-7, rtol=1e-5)


def system(least: float) -> tuple[Tensor, Tensor]:
    """A symmetric 6 x 6 matrix with that least eigenvalue, and a right side."""
    torch.manual_seed(1)
    basis, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.double))
    return basis @ torch.diag(torch.linspace(least, 5, 6, dtype=torch.double)) @ basis.T, torch.randn(6, dtype=torch.double)


def test_conjugate_gradients_solve_in_as_many_steps_as_there_are_unknowns() -> None:
    matrix, right = system(0.5)
    found = conjugate_gradients(lambda x: matrix @ x, right, 6)
    np.testing.assert_allclose(found.numpy(), np.linalg.solve(matrix.numpy(), right.numpy()), rtol=1e-8)
    assert torch.isfinite(conjugate_gradients(lambda x: matrix @ x, right, 30)).all()


def test_conjugate_gradients_end_where_curvature_is_negative() -> None:
    matrix, right = system(-50.0)
    torch.testing.assert_close(conjugate_gradients(lambda x: matrix @ x, right, 6), right)
