"""Continual learning in tests: small tasks, and a learner that goes through them."""

import numpy as np
import torch
from torch import Tensor

from models.backbones import Backbone
from models.backbones.conv4 import Conv4
from training.continual.learner import ContinualLearner, to_images

SIZE, CLASSES, EACH = 16, 3, 8


def trunk() -> Backbone:
    return Backbone(Conv4(4, SIZE), (0.5,) * 3, (0.25,) * 3)


def task(seed: int) -> tuple[Tensor, Tensor]:
    """Pixels and labels of classes of noise around a colour each."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, (CLASSES, 1, 1, 1, 3))
    pixels = (colours + rng.integers(0, 56, (CLASSES, EACH, SIZE, SIZE, 3))).astype(np.uint8)
    return torch.from_numpy(pixels).flatten(0, 1), torch.arange(CLASSES).repeat_interleave(EACH)


def learn(learner: ContinualLearner, pixels: Tensor, labels: Tensor, steps: int = 3, rate: float = 0.01) -> None:
    """A task from its beginning to its end."""
    learner.begin(CLASSES)
    if trained := list(learner.trained()):
        optimizer = torch.optim.Adam(trained, lr=rate)
        for _ in range(steps):
            learner.train()
            optimizer.zero_grad()
            torch.autograd.backward(learner.loss(pixels, labels))
            optimizer.step()
    learner.consolidate(pixels, labels)


def answers(learner: ContinualLearner, pixels: Tensor, number: int) -> Tensor:
    with torch.no_grad():
        return learner.eval().logits(to_images(pixels), number)
