"""The contestants of `benchmarks.laboratory sharing`: architectures with the mean of the tasks' losses, and the shared trunk with
every other way of balancing them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.laboratory.training import ADAM_RATE, RECIPE, Training
from training.architectures import Architecture, Setting, SharedNetwork, architectures
from training.data.dataset import DataError, ImageSet
from training.evaluation.episodes import Indices
from training.run.balance import Balancing, Term, balancings
from training.run.distributed import make_fabric
from training.run.feed import channel_statistics
from training.run.recipes import changed

ALONE = "one-network-per-task"
SHARED = "shared-trunk"
_HELD_OUT = 6  # one image in so many
_BATCH = 100


class Tasks:
    """The images of T tasks of K classes each, on the training device.

    Args:
        images: of all classes. The first sixth of each class by name is held out, to measure with.
        groups: the classes of each task, by the task's name.

    Raises:
        DataError: tasks have different numbers of classes, or fewer than two, or a class has no images.
    """

    def __init__(self, images: ImageSet, groups: dict[str, list[str]], device: torch.device) -> None:
        self.names = list(groups)
        if len({len(classes) for classes in groups.values()}) != 1 or self._ways(groups) < 2:
            raise DataError("the tasks of this experiment have equally many classes, two or more")
        if missing := {name for classes in groups.values() for name in classes} - set(images.classes):
            raise DataError(f"there are no images of {', '.join(sorted(missing))}")
        self.ways = self._ways(groups)
        self._pixels = torch.from_numpy(images.images).to(device)
        by_class = dict(zip(images.classes, images.indices_by_class(), strict=True))
        self._learned = [_labelled([by_class[name][_cut(by_class[name]) :] for name in classes]) for classes in groups.values()]
        self._held_out = [_labelled([by_class[name][: _cut(by_class[name])] for name in classes]) for classes in groups.values()]
        rows = torch.cat([indices for indices, _ in self._learned]).numpy()
        learned = ImageSet(images.images[rows], images.labels[rows], images.classes, ())
        self._mean, self._std = (torch.tensor(values, device=device)[:, None, None] for values in channel_statistics([learned]))

    @staticmethod
    def _ways(groups: dict[str, list[str]]) -> int:
        return len(next(iter(groups.values())))

    @property
    def device(self) -> torch.device:
        """Returns where the images are."""
        return self._pixels.device

    def untrained(self, architecture: Architecture) -> SharedNetwork:
        """Returns that architecture's network for these tasks."""
        return architecture.build(Setting(len(self.names), self.ways, side=self._pixels.shape[1])).to(self.device)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Returns that many random images of each task, augmented, (T, n, 3, H, W), and their labels (T, n)."""
        drawn = [torch.randint(len(indices), (count,)) for indices, _ in self._learned]
        chosen = torch.stack([indices[rows] for (indices, _), rows in zip(self._learned, drawn, strict=True)])
        labels = torch.stack([own[rows] for (_, own), rows in zip(self._learned, drawn, strict=True)])
        return self._normalised(RECIPE.augmentation(self._pixels[chosen.flatten()]), count), labels.to(self.device)

    @torch.no_grad()
    def accuracy(self, network: SharedNetwork, every: int = 1) -> list[float]:
        """Returns the share of each task's held-out images that its head recognises, or of every tenth, say."""
        asked = [(indices[::every], own[::every]) for indices, own in self._held_out]
        right, count = np.zeros(len(asked)), max(1, _BATCH // len(asked))
        for start in range(0, max(len(own) for _, own in asked), count):
            # A task with fewer images than the others shows its last one again, which is not counted.
            rows = torch.arange(start, start + count)
            chosen = torch.stack([indices[rows.clamp(max=len(indices) - 1)] for indices, _ in asked])
            labels = torch.stack([own[rows.clamp(max=len(own) - 1)] for _, own in asked])
            fresh = torch.stack([rows < len(own) for _, own in asked])
            pixels = self._pixels[chosen.flatten()].permute(0, 3, 1, 2).float() / 255.0
            found = network(self._normalised(pixels, count)).argmax(dim=2).cpu() == labels
            right += (found & fresh).sum(dim=1).numpy()
        return [float(hits) / len(own) for hits, (_, own) in zip(right, asked, strict=True)]

    def _normalised(self, images_N3HW: Tensor, count: int) -> Tensor:
        return torch.unflatten((images_N3HW - self._mean) / self._std, 0, (-1, count))


def _cut(indices: Indices) -> int:
    return max(1, len(indices) // _HELD_OUT)


def _labelled(by_class: Sequence[Indices]) -> tuple[Tensor, Tensor]:
    labels = np.repeat(np.arange(len(by_class)), [len(own) for own in by_class])
    return torch.from_numpy(np.concatenate(by_class)), torch.from_numpy(labels)


class Joint(Training):
    """A network on all tasks at once, by Adam on the mean of their losses.

    Args:
        images: of each task in a step.
        further: what is trained beside the network, by its name in `state`.
    """

    def __init__(self, tasks: Tasks, network: SharedNetwork, images: int, seed: int, **further: nn.Module) -> None:
        self.tasks = tasks
        self.network = network
        self._count = images
        modules = {"network": network, **further}
        parameters = [parameter for module in modules.values() for parameter in module.parameters()]
        super().__init__(modules, torch.optim.Adam(parameters, ADAM_RATE), seed, tasks.device)

    def _draw(self) -> tuple[Tensor, Tensor]:
        self.images += self._count * len(self.tasks.names)
        return self.tasks.draw(self._count)

    def _backward(self) -> None:
        losses = self.network.losses(*self._draw())
        torch.autograd.backward(losses.mean() + self.network.penalty())

    def parameters(self) -> int:
        """Returns the number of parameters that use needs: those that the logits depend on."""
        logits = self.network(self.tasks.draw(1)[0])
        gradients = torch.autograd.grad(logits.sum(), list(self.network.parameters()), allow_unused=True)
        return sum(gradient.numel() for gradient in gradients if gradient is not None)


class Balanced(Joint):
    """A network whose tasks' losses are balanced in one of the ways of `training.run.balance`."""

    def __init__(self, tasks: Tasks, network: SharedNetwork, balancing: Balancing, images: int, seed: int) -> None:
        of_heads = {id(parameter) for parameter in network.heads.parameters()}
        shared = [parameter for parameter in network.parameters() if id(parameter) not in of_heads]
        self._balance = balancing.make(tasks.names, shared).to(tasks.device)
        self._fabric = make_fabric(tasks.device, 1, changed(RECIPE, {"precision": "float32"}))
        super().__init__(tasks, network, images, seed, balance=self._balance)

    def _backward(self) -> None:
        images, labels = self._draw()
        features = self.network.features(images)
        weights, biases = self.network.heads.weight, self.network.heads.bias
        terms = {}
        for task, name in enumerate(self.tasks.names):  # each loss on a graph of its own, which goes with its gradient
            logits_nK = features[task] @ weights[task] + biases[task]
            terms[name] = Term(functional.cross_entropy(logits_nK, labels[task]), 1 / len(features))
        self._balance.backward(terms, features, self._fabric)


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    Attributes:
        learner: makes it from the tasks, the images of each in a step, and the seed.
    """

    name: str
    source: str
    learner: Callable[[Tasks, int, int], Joint]


def contestants() -> dict[str, Contestant]:
    """Returns every architecture, and the shared trunk with every way of balancing but `fixed`, which it has already."""
    known = architectures()
    found = [Contestant(name, architecture.source, _joint(architecture)) for name, architecture in known.items()]
    ways = [way for name, way in balancings().items() if name != "fixed"]
    found += [Contestant(f"{SHARED}+{way.name}", way.source, _balanced(known[SHARED], way)) for way in ways]
    return {contestant.name: contestant for contestant in found}


def _joint(architecture: Architecture) -> Callable[[Tasks, int, int], Joint]:
    return lambda tasks, images, seed: Joint(tasks, tasks.untrained(architecture), images, seed)


def _balanced(architecture: Architecture, way: Balancing) -> Callable[[Tasks, int, int], Joint]:
    return lambda tasks, images, seed: Balanced(tasks, tasks.untrained(architecture), way, images, seed)
