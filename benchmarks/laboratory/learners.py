"""The contestants of `benchmarks.laboratory meta`. The network, images and augmentation are the same, and each has its own loss.

Hyper-parameters follow the papers and their authors' code, unless another value does better for Conv-4 on CIFAR-FS within
minutes. So every baseline is trained by Adam at 1e-3. At first that learns faster than the SGD at 0.1 of R2-D2's and
MetaOptNet's code. Every method's learning rate follows the shape of the project's recipe (linear warm-up, cosine to zero) over
its budget of seconds. Everything is computed in float32.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.laboratory.training import ADAM_RATE, RECIPE, Training
from models.backbones import Backbone, build_backbone
from models.manifest import Architecture
from training.data.dataset import ImageSet
from training.evaluation.episodes import EpisodeSampler
from training.objectives import ClassBank
from training.objectives.episodic import EpisodicObjective
from training.objectives.inner_loop import InnerLoopObjective, measure_running_statistics, use_batch_statistics
from training.objectives.methods import MetaMethod, Published, methods
from training.run.feed import channel_statistics

Indices = NDArray[np.int64]

WAYS = 5
REFERENCE = "MTL"
_STATISTICS_IMAGES = 1024


class BaseImages:
    """The base classes' images on the training device, and their augmentation."""

    def __init__(self, base: ImageSet, device: torch.device) -> None:
        self._mean, self._std = channel_statistics([base])
        self.pixels = torch.from_numpy(base.images).to(device)
        self.labels = torch.from_numpy(base.labels).to(device)
        self.classes = len(base.classes)
        self.by_class = base.indices_by_class()

    def augmented(self, indices: Indices | Tensor) -> Tensor:
        """Returns float32 (*indices.shape, 3, H, W) in [0, 1], freshly augmented."""
        chosen = torch.as_tensor(indices, device=self.pixels.device)
        images = RECIPE.augmentation(self.pixels[chosen.flatten()])
        return images.contiguous(memory_format=torch.channels_last).view(*chosen.shape, *images.shape[1:])

    def network(self) -> Backbone:
        """Returns an untrained Conv-4 with these images' normalisation."""
        architecture = Architecture(name="conv4", widths=(64,), mean=self._mean, std=self._std)
        backbone = build_backbone(architecture, self.pixels.shape[1])
        return cast("Backbone", backbone.to(device=self.pixels.device, memory_format=torch.channels_last))  # type: ignore[call-overload]


class Learner(Training):
    """One method in training: a backbone and an objective."""

    def __init__(
        self, base: BaseImages, seed: int, backbone: Backbone, objective: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        super().__init__({"backbone": backbone, "objective": objective}, optimizer, seed, base.pixels.device)
        self.base = base
        self.backbone = backbone
        self.objective = objective

    def own_scores(self, _images: Tensor, _embeddings_ND: Tensor, _support_TKS: Tensor, _query_Tq: Tensor) -> Tensor | None:
        """Returns the logits (T, q, K) of the method's own classifier, if it has one; support and queries index the N images."""
        return None


class MultiTask(Learner):
    """Joint training, shuffled passes over the base images."""

    def __init__(self, base: BaseImages, seed: int) -> None:
        backbone = base.network()
        bank = ClassBank(base.classes, backbone.embedding_dim).to(base.pixels.device)
        optimizer = torch.optim.SGD(
            [*backbone.parameters(), *bank.parameters()],
            lr=RECIPE.learning_rate,
            momentum=RECIPE.momentum,
            weight_decay=RECIPE.weight_decay,
            nesterov=True,
        )
        super().__init__(base, seed, backbone, bank, optimizer)
        self._pass = -1

    def _backward(self) -> None:
        per_pass = -(-len(self.base.labels) // RECIPE.batch_size)
        if self._pass != self.steps // per_pass:
            self._pass = self.steps // per_pass
            generator = torch.Generator().manual_seed(self._seed + self._pass)
            self._batches = torch.split(torch.randperm(len(self.base.labels), generator=generator), RECIPE.batch_size)
        chosen = self._batches[self.steps % per_pass].to(self.base.pixels.device)
        self.images += len(chosen)
        loss: Tensor = self.objective(self.backbone(self.base.augmented(chosen)), self.base.labels[chosen], None)
        loss.backward()  # type: ignore[no-untyped-call]


class MetaLearner(Learner, ABC):
    """Meta-learning: each step a batch of episodes."""

    def __init__(self, base: BaseImages, seed: int, backbone: Backbone, objective: nn.Module, method: MetaMethod) -> None:
        objective.to(base.pixels.device)
        parameters = [*backbone.parameters(), *objective.parameters()]
        super().__init__(base, seed, backbone, objective, torch.optim.Adam(parameters, lr=ADAM_RATE))
        episodes = method.episodes
        self._tasks = episodes.tasks
        ways = min(episodes.ways, base.classes)
        self._samplers = [EpisodeSampler(base.by_class, ways, shots, episodes.queries, seed) for shots in episodes.shots]

    def _backward(self) -> None:
        sampler = self._samplers[self.steps % len(self._samplers)]
        drawn = [sampler.episode(self.steps * self._tasks + task) for task in range(self._tasks)]
        indices_TKs = np.stack([np.concatenate([episode.support, episode.query], axis=1) for episode in drawn])
        self.images += indices_TKs.size
        self._backward_of(self.base.augmented(indices_TKs), sampler.shots)

    @abstractmethod
    def _backward_of(self, images_TKs3HW: Tensor, shots: int) -> None:
        """Leaves the gradients of a batch of episodes; each class's first `shots` images are its support set."""


class Episodic(MetaLearner):
    """The objective classifies embeddings, so that all episodes are embedded in one forward pass."""

    objective: EpisodicObjective

    def own_scores(self, _images: Tensor, embeddings_ND: Tensor, support_TKS: Tensor, query_Tq: Tensor) -> Tensor:
        return self.objective.scores(embeddings_ND[support_TKS], embeddings_ND[query_Tq])

    def _backward_of(self, images_TKs3HW: Tensor, shots: int) -> None:
        embeddings_TKsD = self.backbone(images_TKs3HW.flatten(0, 2)).view(*images_TKs3HW.shape[:3], -1)
        loss: Tensor = self.objective(embeddings_TKsD[:, :, :shots], embeddings_TKsD[:, :, shots:])
        loss.backward()  # type: ignore[no-untyped-call]


class InnerLoop(MetaLearner):
    """The objective runs the backbone itself, with weights of each episode's own."""

    objective: InnerLoopObjective

    def __init__(self, base: BaseImages, seed: int, backbone: Backbone, objective: nn.Module, method: MetaMethod) -> None:
        super().__init__(base, seed, backbone, objective, method)
        use_batch_statistics(backbone)

    def prepare_evaluation(self) -> None:
        chosen = torch.arange(_STATISTICS_IMAGES) * len(self.base.labels) // _STATISTICS_IMAGES
        measure_running_statistics(self.backbone, self.base.augmented(chosen))
        super().prepare_evaluation()

    def own_scores(self, images: Tensor, _embeddings_ND: Tensor, support_TKS: Tensor, query_Tq: Tensor) -> Tensor:
        self.backbone.train()
        scores = self.objective.scores(self.backbone, images[support_TKS], images[query_Tq])
        self.backbone.eval()
        return scores

    def _backward_of(self, images_TKs3HW: Tensor, shots: int) -> None:
        self.objective.backward(self.backbone, images_TKs3HW[:, :, :shots], images_TKs3HW[:, :, shots:])


@dataclass(frozen=True)
class Contestant:
    """A method of the experiment.

    Attributes:
        learner: makes it, untrained, from the base images and a seed.
    """

    family: str
    published: Published
    learner: Callable[[BaseImages, int], Learner]


def contestants(names: Collection[str] | None = None) -> dict[str, Contestant]:
    """Returns joint training and every meta-learning method by name, or those of these names alone."""
    known = {REFERENCE: Contestant("joint training", Published("the reference"), MultiTask)}
    for name, method in methods().items():
        known[name] = Contestant(method.family, method.published, _maker(method))
    return {name: contestant for name, contestant in known.items() if names is None or name in names}


def _maker(method: MetaMethod) -> Callable[[BaseImages, int], Learner]:
    def make(base: BaseImages, seed: int) -> Learner:
        backbone = base.network()
        objective = method.objective(backbone.embedding_dim, WAYS)
        kind = InnerLoop if isinstance(objective, InnerLoopObjective) else Episodic
        return kind(base, seed, backbone, objective, method)

    return make
