"""The meta-learning baselines against oracles written another way."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from benchmarks.laboratory.memory import peak_memory
from models.backbones import Conv4
from training.objectives.anil import Anil
from training.objectives.episodic import query_loss
from training.objectives.inner_loop import measure_running_statistics, use_batch_statistics
from training.objectives.maml import Maml
from training.objectives.metaoptnet import SvmHead, svm_dual
from training.objectives.protonet import ProtoNet
from training.objectives.r2d2 import RidgeHead

CPU = torch.device("cpu")
T, K, S, Q, D = 2, 3, 3, 2, 7
LABELS = np.repeat(np.arange(K), S)


@pytest.fixture
def episodes() -> tuple[Tensor, Tensor]:
    """Support (T, K, S, D) and queries (T, K, Q, D) around class means that they share."""
    torch.manual_seed(0)
    means = torch.randn(T, K, 1, D, dtype=torch.double)
    return means + torch.randn(T, K, S, D, dtype=torch.double), means + torch.randn(T, K, Q, D, dtype=torch.double)


def test_the_loss_is_that_of_queries_in_order_of_their_classes() -> None:
    right = 20.0 * torch.eye(K).repeat_interleave(Q, dim=0).expand(T, -1, -1)
    assert query_loss(right) < 1e-6
    assert query_loss(right.flip(1)) > 5


def test_protonet_prefers_near_means(episodes: tuple[Tensor, Tensor]) -> None:
    support, query = episodes
    logits = np.array(
        [
            [[-float(((q - support[t, k].mean(dim=0)) ** 2).sum()) for k in range(K)] for q in query[t].flatten(0, 1)]
            for t in range(T)
        ]
    )
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    expected = -np.log([[probabilities[t, i, i // Q] for i in range(K * Q)] for t in range(T)]).mean()
    assert ProtoNet()(support, query).item() == pytest.approx(expected, rel=1e-9)


def test_r2d2_solves_the_normal_equations(episodes: tuple[Tensor, Tensor]) -> None:
    support, query = episodes
    head = RidgeHead(penalty=3.0, scale=2.0).double()
    scores = head.scores(support, query.flatten(1, 2)).detach().numpy()
    for t in range(T):
        x, y = support[t].flatten(0, 1).numpy(), np.eye(K)[LABELS]
        weight = np.linalg.solve(x.T @ x + 3.0 * np.eye(D), x.T @ y)
        np.testing.assert_allclose(scores[t], 2.0 * query[t].flatten(0, 1).numpy() @ weight, rtol=1e-6)


@pytest.mark.parametrize("C", [0.03, 0.3])
def test_the_svm_is_scikit_learns(episodes: tuple[Tensor, Tensor], C: float) -> None:
    support, query = episodes
    scores = SvmHead(C=C).double().scores(support, query.flatten(1, 2)).detach().numpy()
    for t in range(T):
        machine = LinearSVC(multi_class="crammer_singer", fit_intercept=False, C=C, tol=1e-8, max_iter=10**5)
        machine.fit(support[t].flatten(0, 1).numpy(), LABELS)
        np.testing.assert_allclose(scores[t], query[t].flatten(0, 1).numpy() @ machine.coef_.T, atol=1e-5)


def test_the_svm_holds_on_degenerate_supports() -> None:
    x = torch.ones(2, 6, 300, dtype=torch.double)
    x[1] = 30.0 * torch.rand(6, 300, dtype=torch.double)
    alpha = svm_dual(x, torch.eye(2).repeat_interleave(3, dim=0), C=100.0)
    assert torch.isfinite(alpha).all()
    assert alpha.sum(dim=2).abs().max() < 1e-6


def test_the_svms_implicit_gradient_is_the_finite_difference(episodes: tuple[Tensor, Tensor]) -> None:
    x = episodes[0][:1, :, :2, :3].flatten(1, 2).requires_grad_()
    y = torch.eye(K, dtype=torch.double).repeat_interleave(2, dim=0)
    assert torch.autograd.gradcheck(lambda x: svm_dual(x, y, 0.5).transpose(1, 2) @ x, x, fast_mode=True)


@pytest.mark.parametrize("first_order", [False, True])
def test_anil_is_gradient_descent_on_the_last_layer(episodes: tuple[Tensor, Tensor], first_order: bool) -> None:
    support, query = (part.requires_grad_() for part in episodes)
    anil = Anil(D, K, steps=3, rate=0.3, first_order=first_order).double()
    nn.init.normal_(anil.weight)
    losses = []
    for t in range(T):
        weight: Tensor = anil.weight
        bias: Tensor = anil.bias
        for _ in range(3):
            loss = functional.cross_entropy(support[t].flatten(0, 1) @ weight.T + bias, torch.from_numpy(LABELS))
            slopes = torch.autograd.grad(loss, (weight, bias), create_graph=not first_order)
            weight, bias = weight - 0.3 * slopes[0], bias - 0.3 * slopes[1]
        logits = query[t].flatten(0, 1) @ weight.T + bias
        losses.append(functional.cross_entropy(logits, torch.arange(K).repeat_interleave(Q)))
    inputs = (support, query, anil.weight, anil.bias)
    expected = torch.autograd.grad(torch.stack(losses).mean(), inputs, materialize_grads=True)
    found = torch.autograd.grad(anil(support, query), inputs, materialize_grads=True)
    assert first_order == (not found[0].any())  # those of the support embeddings
    for gradient, oracle in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, oracle)


class Images:
    """A tiny network in double precision, and two episodes of 16 x 16 images."""

    def __init__(self, *, first_order: bool = False) -> None:
        torch.manual_seed(0)
        self.backbone = Conv4(width=4, input_size=16).double()
        self.maml = Maml(self.backbone.embedding_dim, K, steps=2, rate=0.1, first_order=first_order).double()
        nn.init.normal_(self.maml.head.weight)
        self.support = torch.rand(T, K, S, 3, 16, 16, dtype=torch.double)
        self.query = torch.rand(T, K, Q, 3, 16, 16, dtype=torch.double)


@pytest.mark.parametrize("first_order", [False, True])
def test_mamls_gradient_is_of_second_order_and_fomamls_of_first(first_order: bool) -> None:
    images = Images(first_order=first_order)
    learner = nn.Sequential(images.backbone, images.maml.head)
    start: dict[str, Tensor] = dict(learner.named_parameters())
    losses = []
    for t in range(T):
        weights = start
        for _ in range(2):
            logits = functional_call(learner, weights, (images.support[t].flatten(0, 1),))
            loss = functional.cross_entropy(logits, torch.from_numpy(LABELS))
            slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=not first_order)
            weights = {name: weights[name] - 0.1 * slope for name, slope in zip(weights, slopes, strict=True)}
        logits = functional_call(learner, weights, (images.query[t].flatten(0, 1),))
        losses.append(functional.cross_entropy(logits, torch.arange(K).repeat_interleave(Q)))
    expected = torch.autograd.grad(torch.stack(losses).mean(), list(start.values()))

    use_batch_statistics(images.backbone)
    images.maml.backward(images.backbone, images.support, images.query)
    for weight, oracle in zip(learner.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, oracle)


def test_second_order_keeps_every_step_of_the_inner_loop() -> None:
    pixels = torch.rand(1, K, S + Q, 3, 16, 16)
    peaks = {}
    for steps in (2, 8):
        for first_order in (False, True):
            backbone = Conv4(width=8, input_size=16)
            use_batch_statistics(backbone)
            maml = Maml(backbone.embedding_dim, K, steps=steps, first_order=first_order)
            maml.backward(backbone, pixels[:, :, :S], pixels[:, :, S:])
            peaks[steps, first_order] = peak_memory(partial(maml.backward, backbone, pixels[:, :, :S], pixels[:, :, S:]), CPU)
    assert peaks[8, False] > 2.5 * peaks[2, False]
    assert peaks[8, True] < 1.5 * peaks[2, True]


@pytest.mark.parametrize("first_order", [False, True])
def test_maml_can_be_vmapped_as_it_is_on_a_gpu(first_order: bool) -> None:
    images = Images(first_order=first_order)
    use_batch_statistics(images.backbone)

    def one(support: Tensor, query: Tensor) -> Tensor:
        return images.maml.scores(images.backbone, support[None], query[None])[0]

    query_Tq = images.query.flatten(1, 2)
    torch.testing.assert_close(vmap(one)(images.support, query_Tq), images.maml.scores(images.backbone, images.support, query_Tq))


def test_running_statistics_are_those_of_the_images_measured() -> None:
    images = Images()
    use_batch_statistics(images.backbone)
    pixels = images.support.flatten(0, 2)
    expected = images.backbone(pixels)
    measure_running_statistics(images.backbone, pixels)
    images.backbone.eval()
    # The running variance is the unbiased one; normalisation in training divides by n.
    torch.testing.assert_close(images.backbone(pixels), expected, atol=0.1, rtol=0.1)
