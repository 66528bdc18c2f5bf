"""Meta-MinibatchProx against finite differences of the Moreau envelope, minimised by SciPy."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from tests.helpers.meta_learning import K, Pictures, T, finite_differences, gradients, start_anywhere
from training.objectives.maml import Maml
from training.objectives.minibatch_prox import MinibatchProx

Array = NDArray[np.float64]
_STRENGTH = 0.6


def envelope(pictures: Pictures, start: list[torch.Tensor]) -> float:
    """The mean over tasks of min_φ L(φ) + λ/2 ‖φ − θ‖²."""
    theta = np.concatenate([weight.detach().numpy().ravel() for weight in start])
    images = torch.cat([pictures.support, pictures.query], dim=2).flatten(3).numpy()
    labels = np.repeat(np.arange(K), images.shape[2])
    least = []
    for x in images.reshape(T, len(labels), -1):

        def value(phi: Array, x: Array = x) -> tuple[float, Array]:
            logits = x @ phi[:-K].reshape(K, -1).T + phi[-K:]
            loss = np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(x)), labels])
            error = (softmax(logits, axis=1) - np.eye(K)[labels]) / len(x)
            slope = np.concatenate([(error.T @ x).ravel(), error.sum(axis=0)])
            return float(loss + _STRENGTH / 2 * ((phi - theta) ** 2).sum()), slope + _STRENGTH * (phi - theta)

        least.append(minimize(value, theta, method="BFGS", jac=True, options={"gtol": 1e-9}).fun)
    return float(np.mean(least))


def test_it_is_the_gradient_of_the_moreau_envelope() -> None:
    pictures = Pictures()
    prox = MinibatchProx(pictures.dim, K, steps=100, rate=0.3, strength=_STRENGTH)
    start = start_anywhere(prox)
    bias = finite_differences(lambda: envelope(pictures, start), start[1:], step=1e-3)
    torch.testing.assert_close(gradients(prox, pictures)[1], bias[0], atol=1e-6, rtol=1e-4)


def test_in_use_it_adapts_as_maml_does_where_nothing_ties_it() -> None:
    pictures = Pictures()
    prox, maml = MinibatchProx(pictures.dim, K, steps_in_use=3, strength=0.0), Maml(pictures.dim, K, steps=3)
    start_anywhere(prox)
    maml.double().load_state_dict(prox.state_dict())
    scores = [method.scores(pictures.backbone, pictures.support, pictures.query.flatten(1, 2)) for method in (prox, maml)]
    torch.testing.assert_close(*scores)
