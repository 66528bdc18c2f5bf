"""Adaptation of Conv-4 to a task of five classes: to five labelled images of each, or to 75 images without labels."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.step_cost.comparison import Comparison, Step, in_turn, passes
from models.backbones import Backbone, Conv4
from training.adaptation.baseline import Baseline
from training.adaptation.baseline_plus import BaselinePlus, CosineClassifier
from training.adaptation.batch_statistics import BatchStatistics
from training.adaptation.entropy import EntropyMinimisation
from training.adaptation.last_layer import LastLayer
from training.adaptation.method import Labelled, Unlabelled
from training.adaptation.top_layers import TopLayers

_CLASSES, _SHOTS, _QUERIES, _SIDE, _WIDTH, _STEPS, _BATCH = 5, 5, 15, 32, 64, 20, 4


def comparisons() -> Iterator[Comparison]:
    """Yields every method beside the passes that it needs, for Baseline with the steps of SGD."""
    forward, steps = "one forward", f"{_STEPS} passes"
    yield Comparison("last layer", forward, _labelled(LastLayer(), _read))
    yield Comparison("Baseline", f"{forward}, and steps of the layer", _labelled(Baseline(), _and_layer(nn.Linear)))
    cosines = _and_layer(lambda dim, classes: CosineClassifier(dim, classes, 2.0))
    yield Comparison("Baseline++", f"{forward}, and steps of the layer", _labelled(BaselinePlus(), cosines))
    yield Comparison("top layer", f"{1 + _STEPS} forwards", _labelled(TopLayers(1, 1e-3, _STEPS), _read_again))
    yield Comparison("all layers", f"{forward}, and {steps}", _labelled(TopLayers(None, 1e-3, _STEPS), _read_and_learn))
    yield Comparison("batch statistics", forward, _unlabelled(BatchStatistics(), _read))
    yield Comparison("Tent", steps, _unlabelled(EntropyMinimisation(steps=_STEPS), _learn))


def _labelled(method: Labelled, needed: Callable[[nn.Module, Tensor], Step]) -> Callable[[], tuple[Step, Step]]:
    def prepare() -> tuple[Step, Step]:
        backbone = Backbone(Conv4(_WIDTH, _SIDE), (0.5,) * 3, (0.25,) * 3).eval()
        images, labels = torch.rand(_CLASSES * _SHOTS, 3, _SIDE, _SIDE), torch.arange(_CLASSES).repeat_interleave(_SHOTS)
        return lambda: method.adapt(backbone, images, labels, _CLASSES), needed(Conv4(_WIDTH, _SIDE).eval(), images)

    return prepare


def _unlabelled(method: Unlabelled, needed: Callable[[nn.Module, Tensor], Step]) -> Callable[[], tuple[Step, Step]]:
    def prepare() -> tuple[Step, Step]:
        backbone = Backbone(Conv4(_WIDTH, _SIDE), (0.5,) * 3, (0.25,) * 3).eval()
        head = nn.Linear(backbone.embedding_dim, _CLASSES)
        images = torch.rand(_CLASSES * _QUERIES, 3, _SIDE, _SIDE)
        return lambda: method.adapt(backbone, head, images), needed(Conv4(_WIDTH, _SIDE), images)

    return prepare


def _read(network: nn.Module, images: Tensor) -> Step:
    return passes(network, [], read=[images])


def _read_again(network: nn.Module, images: Tensor) -> Step:
    return passes(network, [], read=[images] * (1 + _STEPS))


def _read_and_learn(network: nn.Module, images: Tensor) -> Step:
    return passes(network, [images] * _STEPS, read=[images])


def _learn(network: nn.Module, images: Tensor) -> Step:
    return passes(network, [images] * _STEPS)


def _and_layer(make: Callable[[int, int], nn.Module]) -> Callable[[nn.Module, Tensor], Step]:
    def needed(network: nn.Module, images: Tensor) -> Step:
        embeddings = torch.rand(len(images), Conv4(_WIDTH, _SIDE).embedding_dim)
        batches = list(torch.split(embeddings, _BATCH)) * Baseline().passes
        layer = make(embeddings.shape[1], _CLASSES)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-3)
        return in_turn([_read(network, images), passes(layer, batches, optimizer=optimizer)])

    return needed
