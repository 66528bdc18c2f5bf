"""Continual learning: each method against an oracle of its own, and all of them against what every method owes."""

import copy
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.backbones.conv4 import Conv4
from models.heads.fitting import fit
from models.heads.head import features
from models.manifest import HeadOptions
from tests.helpers.continual import CLASSES, EACH, SIZE, answers, learn, task, trunk
from training.continual.ewc import ElasticWeights, diagonal_fisher
from training.continual.frozen import FrozenTrunk
from training.continual.learner import ContinualLearner, to_images
from training.continual.progressive import Column, ProgressiveColumns
from training.continual.registry import METHODS
from training.continual.rehearsal import Rehearsal, Remembered, Reservoir
from training.continual.without_forgetting import WithoutForgetting


def after_two_tasks(build: Callable[[], ContinualLearner]) -> ContinualLearner:
    torch.manual_seed(0)
    learner = build()
    for number in range(2):
        torch.manual_seed(number + 1)
        learn(learner, *task(number))
    return learner


def test_the_registry_finds_every_file() -> None:
    assert METHODS.keys() == {"fine-tuning", "EWC", "rehearsal", "LwF", "progressive", "frozen backbone"}


@pytest.mark.parametrize("name", ["EWC", "LwF"])
def test_a_stronger_candidate_pulls_more(name: str) -> None:
    penalties = []
    for build in METHODS[name].candidates.values():
        torch.manual_seed(0)
        learner = build(trunk, to_images)
        learn(learner, *task(0))
        learner.begin(CLASSES)
        with torch.no_grad():
            for weight in learner.trunk.parameters():
                weight.add_(0.2 * torch.randn_like(weight))
            images = to_images(task(1)[0])
            penalties.append(learner.penalty(images, learner.embed(images, 1)).item())
    assert len(penalties) >= 3
    assert penalties == sorted(set(penalties))
    assert penalties[0] > 0.0


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_three_tasks_and_answers_for_each(name: str) -> None:
    torch.manual_seed(0)
    learner = METHODS[name].build(trunk, to_images)
    for number in range(3):
        learn(learner, *task(number), steps=40)
        right = answers(learner, task(number)[0], number).argmax(dim=1) == task(number)[1]
        assert right.float().mean() > 0.8
    assert all(answers(learner, task(number)[0], number).shape == (CLASSES * EACH, CLASSES) for number in range(3))


@pytest.mark.parametrize(
    "build",
    [
        lambda: ElasticWeights(trunk, strength=0.0),
        lambda: WithoutForgetting(trunk, strength=0.0),
        lambda: Rehearsal(trunk, capacity=0),
    ],
    ids=["EWC", "LwF", "rehearsal"],
)
def test_a_method_without_weight_or_memory_is_plain_fine_tuning(build: Callable[[], ContinualLearner]) -> None:
    plain, other = after_two_tasks(lambda: ContinualLearner(trunk)), after_two_tasks(build)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, msg=name)


@pytest.mark.parametrize("build", [lambda: FrozenTrunk(trunk), lambda: ProgressiveColumns(trunk)], ids=["frozen", "progressive"])
def test_answers_for_earlier_tasks_never_change(build: Callable[[], ContinualLearner]) -> None:
    torch.manual_seed(0)
    learner = build()
    learn(learner, *task(0))
    before = answers(learner, task(0)[0], 0)
    learn(learner, *task(1), rate=0.1)
    learn(learner, *task(2), rate=0.1)
    assert torch.equal(answers(learner, task(0)[0], 0), before)


def test_plain_fine_tuning_changes_them() -> None:
    torch.manual_seed(0)
    learner = ContinualLearner(trunk)
    learn(learner, *task(0))
    before = answers(learner, task(0)[0], 0)
    learn(learner, *task(1))
    assert not torch.allclose(answers(learner, task(0)[0], 0), before, atol=1e-3)


def test_the_fisher_information_of_a_logistic_regression_is_the_textbook_one() -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(5, 4).double(), torch.randn(7, 5, dtype=torch.float64)
    weight, bias = diagonal_fisher(layer, [layer.weight, layer.bias], inputs)
    scores = inputs.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    variance = shares * (1.0 - shares)  # the Hessian's diagonal of -log p is p (1 - p) x², and the Fisher information is its mean
    np.testing.assert_allclose(bias.numpy(), variance.mean(axis=0))
    np.testing.assert_allclose(weight.numpy(), np.einsum("nk,nd->kd", variance, inputs.numpy() ** 2) / 7)


def test_the_penalty_pulls_like_one_term_for_each_earlier_task() -> None:
    torch.manual_seed(0)
    learner = ElasticWeights(trunk, strength=10.0)
    terms: list[tuple[list[Tensor], list[Tensor]]] = []
    weights = list(learner.trunk.parameters())
    for number in range(2):
        pixels, labels = task(number)
        learner.begin(CLASSES)
        with torch.no_grad():
            for weight in weights:
                weight.add_(0.1 * torch.randn_like(weight))
        learner.consolidate(pixels, labels)
        fisher = diagonal_fisher(partial(learner.logits, task=number), weights, to_images(pixels))
        terms.append((fisher, [weight.detach().clone() for weight in weights]))
    with torch.no_grad():
        for weight in weights:
            weight.add_(0.1 * torch.randn_like(weight))
    nothing = torch.zeros(1)
    slopes = torch.autograd.grad(learner.penalty(nothing, nothing), weights)
    for i, slope in enumerate(slopes):
        wanted = sum(10.0 * fisher[i] * (weights[i].detach() - old[i]) for fisher, old in terms)
        torch.testing.assert_close(slope, wanted)
    assert learner.remembered() == 2 * 4 * sum(weight.numel() for weight in weights)


@settings(deadline=None, max_examples=50)
@given(capacity=st.integers(0, 8), offered=st.integers(0, 30))
def test_a_reservoir_is_bounded_and_holds_only_what_was_offered(capacity: int, offered: int) -> None:
    reservoir = Reservoir(capacity)
    for label in range(offered):
        reservoir.offer(Remembered(torch.zeros(1), label, 0))
    labels = [item.label for item in reservoir.items]
    assert len(labels) == min(capacity, offered) == len(set(labels))
    assert set(labels) <= set(range(offered))
    assert len(reservoir.draw(5)) == min(5, len(labels))


def test_a_reservoir_is_a_uniform_sample() -> None:
    kept: Counter[int] = Counter()
    for seed in range(3000):
        reservoir = Reservoir(4, seed)
        for label in range(12):
            reservoir.offer(Remembered(torch.zeros(1), label, 0))
        kept.update(item.label for item in reservoir.items)
    expected = 3000 * 4 / 12
    statistic = sum((kept[label] - expected) ** 2 / expected for label in range(12))
    assert statistic < 31.3  # the 99.9 % quantile of χ² with 11 degrees of freedom; the true variance is smaller still


def test_the_loss_of_rehearsal_is_the_mean_over_new_and_remembered_images() -> None:
    torch.manual_seed(0)
    learner = Rehearsal(trunk, capacity=5)
    learn(learner, *task(0))
    learner.begin(CLASSES)
    pixels, labels = task(1)
    learner.eval()  # batch normalisation then makes no difference between one batch and many
    items = learner.memory.items
    assert learner.remembered() == 5 * SIZE * SIZE * 3
    of_new = answers(learner, pixels, 1).log_softmax(dim=1).numpy()
    of_old = answers(learner, torch.stack([item.pixels for item in items]), 0).log_softmax(dim=1).numpy()
    total = -of_new[np.arange(len(labels)), labels.numpy()].sum() - sum(of_old[i, item.label] for i, item in enumerate(items))
    assert learner.loss(pixels, labels).item() == pytest.approx(total / (len(labels) + len(items)), rel=1e-5)


def test_the_penalty_of_lwf_is_the_paper_s_cross_entropy_less_its_least_value() -> None:
    torch.manual_seed(0)
    learner = WithoutForgetting(trunk)
    learn(learner, *task(0))
    pixels, _ = task(1)
    old = answers(learner, pixels, 0).numpy()
    learner.begin(CLASSES)
    images = to_images(pixels)
    assert learner.penalty(images, learner.embed(images, 1)).item() == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        for weight in learner.trunk.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    penalty = learner.penalty(images, learner.embed(images, 1)).item()
    new = answers(learner, pixels, 0).numpy()
    recorded, current = (np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True) for logits in (old, new))
    entropies = (-(recorded * np.log(other)).sum(axis=1).mean() for other in (current, recorded))
    assert penalty == pytest.approx(next(entropies) - next(entropies), rel=1e-4)
    assert penalty > 0.001


def test_lwf_forgets_less_of_the_old_answers_than_plain_fine_tuning() -> None:
    moved, start = [], ContinualLearner(trunk).state_dict()
    for learner in (ContinualLearner(trunk), WithoutForgetting(trunk, strength=80.0)):
        learner.load_state_dict(start)
        torch.manual_seed(0)
        learn(learner, *task(0), steps=60)
        before = answers(learner, task(1)[0], 0)
        learn(learner, *task(1), steps=40)
        with torch.no_grad():  # as in training: batch normalisation takes the batch's statistics
            moved.append(float((learner.train().logits(to_images(task(1)[0]), 0) - before).norm()))
    assert moved[1] < 0.7 * moved[0]


def test_frozen_heads_are_those_that_the_server_fits() -> None:
    torch.manual_seed(0)
    learner = FrozenTrunk(trunk)
    learn(learner, *task(0))
    learn(learner, *task(1))
    (first, _), (second, labels) = task(0), task(1)
    with torch.no_grad():
        mean = learner.trunk(to_images(first)).mean(dim=0).numpy()
        space = features(learner.trunk(to_images(second)).numpy(), mean)
    linear = fit(space, labels.numpy(), CLASSES, HeadOptions(solver="logistic", C=3.0, temperature=1.0, centre=True))
    np.testing.assert_allclose(answers(learner, second, 1).numpy(), space @ linear.weight.T + linear.bias, rtol=1e-4, atol=1e-4)
    assert not list(learner.trained())


def column(learner: ContinualLearner, number: int) -> Column:
    assert isinstance(learner, ProgressiveColumns)
    found = learner.columns[number]
    assert isinstance(found, Column)
    return found


def test_a_progressive_column_reads_the_columns_before_it() -> None:
    learner = after_two_tasks(lambda: ProgressiveColumns(trunk))
    pixels, _ = task(1)
    changed = copy.deepcopy(learner)
    with torch.no_grad():
        for weight in column(changed, 0).convolutions.parameters():
            weight.mul_(-1.0)
    assert not torch.allclose(answers(changed, pixels, 1), answers(learner, pixels, 1), atol=1e-4)
    with torch.no_grad():
        for each in (changed, learner):
            for name, weight in column(each, 1).adapters.named_parameters():
                weight.mul_(0.0 if "read" in name else 1.0)
    torch.testing.assert_close(answers(changed, pixels, 1), answers(learner, pixels, 1))
    network, own = Conv4(4, SIZE).eval(), column(learner, 1)
    values = [*own.convolutions.parameters()], [*own.rest.parameters()], [*own.rest.buffers()]
    with torch.no_grad():
        for kind, mine in zip((nn.Conv2d, nn.BatchNorm2d), values[:2], strict=True):
            theirs = [weight for layer in network.blocks if isinstance(layer, kind) for weight in layer.parameters()]
            for own_weight, value in zip(theirs, mine, strict=True):
                own_weight.copy_(value)
        for statistic, measured in zip(network.buffers(), values[2], strict=True):
            statistic.copy_(measured)
        embeddings = network(learner.trunk.normalised(to_images(pixels)))
        torch.testing.assert_close(learner.heads[1](embeddings), answers(learner, pixels, 1))
