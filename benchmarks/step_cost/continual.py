"""Steps of the methods of continual learning: a batch of the third task of ten classes, with Conv-4.

Two tasks were learned before, so that each method has something to keep. What it does between tasks is not timed.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.step_cost.comparison import Comparison, Step, in_turn, passes
from models.backbones import Backbone, Conv4
from training.continual.learner import ContinualMethod, to_images
from training.continual.registry import METHODS

_CLASSES, _BATCH, _SIDE, _WIDTH, _REMEMBERED = 10, 80, 32, 64, 16


def comparisons() -> Iterator[Comparison]:
    """Yields every method that still trains at the third task, beside the passes that it needs."""
    for name, (words, needed) in _NEEDED.items():
        yield Comparison(name, words, _beside(METHODS[name], needed))


def our_step(method: ContinualMethod, pixels_NHW3: Tensor, labels_N: Tensor) -> Step:
    """Returns our step, without the optimiser and without augmentation."""
    learner = method.build(lambda: Backbone(Conv4(_WIDTH, _SIDE), (0.5,) * 3, (0.25,) * 3), to_images)
    for _ in range(2):
        learner.begin(_CLASSES)
        learner.consolidate(pixels_NHW3[:_REMEMBERED], labels_N[:_REMEMBERED])
    learner.begin(_CLASSES)
    learner.train()
    return lambda: torch.autograd.backward(learner.loss(pixels_NHW3, labels_N))


def _beside(method: ContinualMethod, other: Callable[[Tensor], Step]) -> Callable[[], tuple[Step, Step]]:
    def prepare() -> tuple[Step, Step]:
        pixels = torch.randint(256, (_BATCH, _SIDE, _SIDE, 3), dtype=torch.uint8)
        labels = torch.arange(_BATCH) % _CLASSES
        return our_step(method, pixels, labels), other(to_images(pixels))

    return prepare


def _network() -> nn.Sequential:
    backbone = Conv4(_WIDTH, _SIDE)
    return nn.Sequential(backbone, nn.Linear(backbone.embedding_dim, _CLASSES))


def _one(images: Tensor) -> Step:
    return passes(_network(), [images])


def _with_memory(images: Tensor) -> Step:
    return passes(_network(), [torch.cat([images, images[: 2 * _REMEMBERED]])])


def _with_teacher(images: Tensor) -> Step:
    return passes(_network(), [images], read=[images])


def _with_columns(images: Tensor) -> Step:
    return in_turn([passes(_network(), [], read=[images]), passes(_network(), [images], read=[images])])


_NEEDED: dict[str, tuple[str, Callable[[Tensor], Step]]] = {
    "fine-tuning": ("one pass", _one),
    "EWC": ("one pass", _one),
    "rehearsal": ("one pass of new and remembered images", _with_memory),
    "LwF": ("one pass, and one forward of the old network", _with_teacher),
    "progressive": ("one pass, and one forward of each old column", _with_columns),
}
