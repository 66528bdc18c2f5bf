"""Adaptation: each way against an oracle of its own, and all of them against what every way owes."""

import copy
from itertools import starmap
from typing import cast

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from models.backbones import Backbone
from models.backbones.conv4 import Conv4
from training.adaptation.baseline import Baseline, train_classifier
from training.adaptation.baseline_plus import BaselinePlus, CosineClassifier
from training.adaptation.batch_statistics import BatchStatistics, norms_of
from training.adaptation.entropy import EntropyMinimisation, mean_entropy
from training.adaptation.last_layer import LastLayer
from training.adaptation.method import Unlabelled
from training.adaptation.registry import FROM_IMAGES, FROM_LABELS
from training.adaptation.top_layers import TopLayers, layers_of

SIZE, CLASSES, EACH = 16, 3, 6


def images(seed: int) -> tuple[Tensor, Tensor]:
    """Images and labels of classes of noise around a colour each; another seed gives other images of the same classes."""
    colours = 0.1 + 0.5 * np.eye(CLASSES)[:, None, :, None, None]
    noise = np.random.default_rng(seed).uniform(0.0, 0.3, (CLASSES, EACH, 3, SIZE, SIZE))
    return torch.from_numpy(colours + noise).float().flatten(0, 1), torch.arange(CLASSES).repeat_interleave(EACH)


@pytest.fixture
def backbone() -> Backbone:
    """Conv-4 whose running statistics are those of its training images."""
    torch.manual_seed(0)
    network = Backbone(Conv4(16, SIZE), (0.5,) * 3, (0.25,) * 3)
    for norm in norms_of(network):
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.cat([images(1)[0], images(2)[0]]))
    return network.eval()


def fitted(network: Backbone, seed: int = 4) -> tuple[nn.Module, nn.Module]:
    """A classifier of the images of a seed, and its head."""
    classifier = LastLayer().adapt(network, *images(seed), CLASSES)
    return classifier, cast("nn.Sequential", classifier)[-1]


def accuracy(network: nn.Module, seed: int = 3) -> float:
    shown, labels = images(seed)
    with torch.no_grad():
        return float((network(shown).argmax(dim=1) == labels).float().mean())


def same(first: nn.Module, second: nn.Module) -> bool:
    shown, _ = images(3)
    with torch.no_grad():
        return torch.allclose(first(shown), second(shown), atol=1e-4)


def test_the_registry_finds_every_file() -> None:
    fine_tuned = {"top layer", "top 4 layers", "all layers"}
    assert FROM_LABELS.keys() == {"last layer", "Baseline", "Baseline++", *fine_tuned}
    assert FROM_IMAGES.keys() == {"batch statistics", "Tent"}


@pytest.mark.parametrize("name", FROM_LABELS)
def test_every_way_from_labels_recognises_new_images_and_leaves_the_backbone_as_it_was(name: str, backbone: Backbone) -> None:
    before = copy.deepcopy(backbone.state_dict())
    *_, candidate = FROM_LABELS[name].candidates.values()
    network = candidate.adapt(backbone, *images(4), CLASSES)
    assert accuracy(network) > 0.9
    assert not network.training
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_every_way_from_images_leaves_the_classifier_as_it_was(name: str, backbone: Backbone) -> None:
    classifier, head = fitted(backbone)
    before = copy.deepcopy(classifier.state_dict())
    for candidate in FROM_IMAGES[name].candidates.values():
        adapted = candidate.adapt(backbone, head, images(5)[0] ** 2)
        assert not adapted.training
        assert not same(adapted, classifier)
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    assert all(weight.grad is None for weight in classifier.parameters())


def test_the_last_layer_is_scikit_learns_logistic_regression(backbone: Backbone) -> None:
    shown, labels = images(4)
    network = LastLayer(C=3.0).adapt(backbone, shown, labels, CLASSES)
    with torch.no_grad():
        known, new = (backbone(each).numpy() for each in (shown, images(3)[0]))
    known, new = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (known, new))
    oracle = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(known, labels.numpy())
    with torch.no_grad():
        found = network(images(3)[0]).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, oracle.predict_proba(new), atol=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_fine_tuning_of_no_layer_is_the_last_layer(classes: int, backbone: Backbone) -> None:
    shown, labels = (part[: classes * EACH] for part in images(4))
    tuned = TopLayers(0, rate=0.001, steps=30, C=3.0).adapt(backbone, shown, labels, classes)
    head = LastLayer(C=3.0).adapt(backbone, shown, labels, classes)
    with torch.no_grad():
        np.testing.assert_allclose(tuned(shown).numpy(), head(shown).numpy(), atol=0.02)
    moved = TopLayers(1, rate=0.001, steps=30, C=3.0).adapt(backbone, shown, labels, classes)
    with torch.no_grad():
        assert float((moved(shown) - head(shown)).abs().max()) > 0.1


def test_fine_tuning_moves_the_uppermost_layers_alone(backbone: Backbone) -> None:
    assert [len(layer) for layer in layers_of(backbone)] == [3, 3, 3, 3]  # kernel, scale, shift
    for count, changed in ((1, [False, False, False, True]), (3, [False, True, True, True]), (None, [True] * 4)):
        network = cast("nn.Sequential", TopLayers(count, rate=0.01, steps=2).adapt(backbone, *images(4), CLASSES))
        pairs = zip(layers_of(network[0]), layers_of(backbone), strict=True)
        moved = [not all(starmap(torch.equal, zip(new, old, strict=True))) for new, old in pairs]
        assert moved == changed
        assert all(torch.equal(new, old) for new, old in zip(network[0].buffers(), backbone.buffers(), strict=True))


def test_baseline_takes_the_steps_of_its_authors() -> None:
    torch.manual_seed(0)
    layer, rows = nn.Linear(5, CLASSES), torch.randn(4, 5)
    labels = torch.tensor([0, 1, 2, 1])
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    x, truth = rows.double().numpy(), np.eye(CLASSES)[labels]
    speed: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    for _ in range(7):  # four examples are one batch, whatever their order
        shares = np.exp(x @ weight.T + bias)
        error = (shares / shares.sum(axis=1, keepdims=True) - truth) / 4
        slopes = [error.T @ x + 0.001 * weight, error.sum(axis=0) + 0.001 * bias]
        speed = [0.9 * old + 0.1 * new for old, new in zip(speed, slopes, strict=True)] if speed else slopes
        weight, bias = weight - 0.01 * speed[0], bias - 0.01 * speed[1]
    train_classifier(layer, rows, labels, rate=0.01, passes=7)
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.bias.detach().numpy(), bias, rtol=1e-4, atol=1e-6)


def test_baseline_plus_scores_twice_the_cosine(backbone: Backbone) -> None:
    classifier = CosineClassifier(5, CLASSES, 2.0)
    rows, vectors = torch.randn(4, 5), classifier.weight.detach().numpy()
    lengths = np.linalg.norm(rows.numpy(), axis=1)[:, None] * np.linalg.norm(vectors, axis=1)
    with torch.no_grad():
        np.testing.assert_allclose(classifier(rows).numpy(), 2.0 * (rows.numpy() @ vectors.T) / lengths, rtol=1e-4, atol=1e-6)
    network = BaselinePlus().adapt(backbone, *images(4), CLASSES)
    assert network(images(3)[0]).abs().max().item() <= 2.0


def test_more_passes_of_baseline_fit_the_examples_better(backbone: Backbone) -> None:
    shown, labels = images(4)
    losses = []
    for passes in (1, 100):
        torch.manual_seed(0)
        scores = Baseline(passes=passes).adapt(backbone, shown, labels, CLASSES)(shown)
        losses.append(nn.functional.cross_entropy(scores, labels).item())
    assert losses[1] < 0.5 * losses[0]


def test_statistics_of_the_source_s_own_images_change_nothing(backbone: Backbone) -> None:
    source = torch.cat([images(1)[0], images(2)[0]])
    statistics = [norm.running_var for norm in norms_of(backbone)]
    adapted = BatchStatistics().source(backbone, source)
    for norm, before in zip(norms_of(adapted), statistics, strict=True):
        torch.testing.assert_close(norm.running_var, before, rtol=0.01, atol=1e-6)  # PyTorch's n - 1 in place of n
    with torch.no_grad():
        torch.testing.assert_close(adapted(source), backbone(source), rtol=0.02, atol=0.02)


def test_statistics_of_the_target_are_those_of_a_batch_in_training(backbone: Backbone) -> None:
    target, _ = images(5)
    adapted = BatchStatistics().source(backbone, target**2)
    in_training = copy.deepcopy(backbone).train()
    with torch.no_grad():
        torch.testing.assert_close(adapted(target**2), in_training(target**2), rtol=1e-4, atol=1e-5)
    mixed = BatchStatistics(0.5).source(backbone, target**2)
    first, half, last = (cast("Tensor", norms_of(network)[0].running_mean) for network in (backbone, mixed, adapted))
    torch.testing.assert_close(half, (first + last) / 2)
    assert same(BatchStatistics(0.0).source(backbone, target**2), backbone)


@pytest.mark.parametrize("method", [BatchStatistics(), BatchStatistics(0.25), EntropyMinimisation(steps=0)])
def test_a_target_as_the_source_is_changes_nothing_though_it_has_more_images(method: Unlabelled, backbone: Backbone) -> None:
    shown, labels = images(4)
    shown = shown**2  # other statistics than those of the images that the network was trained on
    normalised = method.source(backbone, shown)
    assert not same(normalised, backbone)
    classifier = cast("nn.Sequential", LastLayer().adapt(normalised, shown, labels, CLASSES))
    with torch.no_grad():
        adapted = method.adapt(backbone, classifier[-1], torch.cat([shown] * 3))
        torch.testing.assert_close(adapted(shown), classifier(shown), rtol=1e-4, atol=1e-4)


def test_entropy_minimisation_without_a_step_is_batch_statistics(backbone: Backbone) -> None:
    given = backbone, fitted(backbone)[1], images(5)[0] ** 2
    assert same(EntropyMinimisation(steps=0).adapt(*given), BatchStatistics().adapt(*given))


def test_entropy_minimisation_lowers_the_entropy_by_scales_and_shifts_alone(backbone: Backbone) -> None:
    (classifier, head), (target, _) = fitted(backbone), images(5)
    entropies = []
    for steps in (0, 3, 30):
        adapted = EntropyMinimisation(0.01, steps).adapt(backbone, head, target**2)
        with torch.no_grad():
            entropies.append(float(mean_entropy(adapted(target**2))))
    assert entropies[0] > entropies[1] > entropies[2]
    scales = {id(weight) for norm in norms_of(adapted) for weight in norm.parameters()}
    for new, old in zip(adapted.parameters(), classifier.parameters(), strict=True):
        assert torch.equal(new, old) == (id(new) not in scales)


def test_the_entropy_is_scipys() -> None:
    from scipy.stats import entropy

    scores = torch.randn(6, 4, dtype=torch.float64)
    assert float(mean_entropy(scores)) == pytest.approx(entropy(scores.softmax(dim=1).numpy(), axis=1).mean())
