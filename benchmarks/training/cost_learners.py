"""The methods of `benchmarks.training_cost`. The network, images and augmentation are the same, and each has its own loss.

Hyper-parameters follow the papers and their authors' code, unless another value does better for Conv-4 on CIFAR-FS within
minutes. So every baseline is trained by Adam at 1e-3. At first that learns faster than the SGD at 0.1 of R2-D2's and
MetaOptNet's code. Every method's learning rate follows the shape of the project's recipe (linear warm-up, cosine to zero) over
its budget of seconds. Everything is computed in float32.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backbones import Backbone, build_backbone
from models.manifest import Architecture
from training.data.dataset import ImageSet
from training.evaluation.episodes import EpisodeSampler
from training.objectives import ClassBank
from training.objectives.anil import Anil
from training.objectives.episodic import EpisodicObjective, query_loss
from training.objectives.inner_loop import measure_running_statistics, use_batch_statistics
from training.objectives.maml import Maml
from training.objectives.metaoptnet import SvmHead
from training.objectives.protonet import ProtoNet
from training.objectives.r2d2 import RidgeHead
from training.run.feed import channel_statistics
from training.run.recipes import RECIPES

Indices = NDArray[np.int64]

WAYS = 5
_RECIPE = RECIPES["quick"]
_ADAM_RATE = 1e-3
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
        images = _RECIPE.augmentation(self.pixels[chosen.flatten()])
        return images.contiguous(memory_format=torch.channels_last).view(*chosen.shape, *images.shape[1:])

    def network(self) -> Backbone:
        """Returns an untrained Conv-4 with these images' normalisation."""
        architecture = Architecture(name="conv4", widths=(64,), mean=self._mean, std=self._std)
        backbone = build_backbone(architecture, self.pixels.shape[1])
        return cast("Backbone", backbone.to(device=self.pixels.device, memory_format=torch.channels_last))  # type: ignore[call-overload]


class Learner(ABC):
    """One method in training.

    Attributes:
        seconds: spent in training so far, evaluation apart.
        steps: of the optimiser.
        images: seen; one that an inner loop visits five times counts once.
    """

    def __init__(self, base: BaseImages, backbone: Backbone, objective: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.base = base
        self.backbone = backbone
        self.objective = objective
        self._optimizer = optimizer
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self.seconds = 0.0
        self.steps = 0
        self.images = 0

    def train_until(self, seconds: float, budget: float) -> None:
        """Trains until `seconds` have been spent, on a schedule that ends at `budget`."""
        self.backbone.train()
        started = time.perf_counter() - self.seconds
        while (spent := time.perf_counter() - started) < seconds:
            self.step(spent / budget)
        if self.base.pixels.is_cuda:
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - started

    def step(self, progress: float) -> None:
        """Makes one step of the optimiser, when the share `progress` of the budget is spent."""
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * _RECIPE.rate(progress) / _RECIPE.learning_rate
        loss = self._loss()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.steps += 1

    def prepare_evaluation(self) -> None:
        """Makes `backbone` ready to embed in evaluation mode."""
        self.backbone.eval()

    def own_scores(self, _images: Tensor, _embeddings_ND: Tensor, _support_TKS: Tensor, _query_Tq: Tensor) -> Tensor | None:
        """Returns the logits (T, q, K) of the method's own classifier, if it has one; support and queries index the N images."""
        return None

    @abstractmethod
    def _loss(self) -> Tensor:
        """Returns the loss of the next batch."""


class MultiTask(Learner):
    """Joint training, shuffled passes over the base images."""

    def __init__(self, base: BaseImages, seed: int) -> None:
        backbone = base.network()
        bank = ClassBank(base.classes, backbone.embedding_dim).to(base.pixels.device)
        optimizer = torch.optim.SGD(
            [*backbone.parameters(), *bank.parameters()],
            lr=_RECIPE.learning_rate,
            momentum=_RECIPE.momentum,
            weight_decay=_RECIPE.weight_decay,
            nesterov=True,
        )
        super().__init__(base, backbone, bank, optimizer)
        self._batches = self._shuffled(seed)

    def _shuffled(self, seed: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield from torch.split(torch.randperm(len(self.base.labels), generator=generator), _RECIPE.batch_size)

    def _loss(self) -> Tensor:
        chosen = next(self._batches).to(self.base.pixels.device)
        self.images += len(chosen)
        loss: Tensor = self.objective(self.backbone(self.base.augmented(chosen)), self.base.labels[chosen], None)
        return loss


class Episodic(Learner):
    """Meta-learning: each step a batch of episodes, all embedded in one forward pass.

    Args:
        tasks: T, episodes per step.
        ways, queries: of each episode.
        shots: of the episodes of successive steps, in turn.
    """

    def __init__(
        self,
        base: BaseImages,
        seed: int,
        backbone: Backbone,
        objective: nn.Module,
        *,
        tasks: int,
        shots: tuple[int, ...],
        ways: int = WAYS,
        queries: int,
    ) -> None:
        objective.to(base.pixels.device)
        parameters = [*backbone.parameters(), *objective.parameters()]
        super().__init__(base, backbone, objective, torch.optim.Adam(parameters, lr=_ADAM_RATE))
        self._tasks = tasks
        self._samplers = [EpisodeSampler(base.by_class, min(ways, base.classes), count, queries, seed) for count in shots]

    def own_scores(self, _images: Tensor, embeddings_ND: Tensor, support_TKS: Tensor, query_Tq: Tensor) -> Tensor:
        head = cast("EpisodicObjective", self.objective)
        return head.scores(embeddings_ND[support_TKS], embeddings_ND[query_Tq])

    def _loss(self) -> Tensor:
        sampler = self._samplers[self.steps % len(self._samplers)]
        drawn = [sampler.episode(self.steps * self._tasks + task) for task in range(self._tasks)]
        indices_TKs = np.stack([np.concatenate([episode.support, episode.query], axis=1) for episode in drawn])
        self.images += indices_TKs.size
        return self._loss_of(self.base.augmented(indices_TKs), sampler.shots)

    def _loss_of(self, images_TKs3HW: Tensor, shots: int) -> Tensor:
        """Returns the mean query loss; each class's first `shots` images are its support set."""
        embeddings_TKsD = self.backbone(images_TKs3HW.flatten(0, 2)).view(*images_TKs3HW.shape[:3], -1)
        loss: Tensor = self.objective(embeddings_TKsD[:, :, :shots], embeddings_TKsD[:, :, shots:])
        return loss


class InnerLoop(Episodic):
    """MAML: the objective runs the backbone itself, with weights of each episode's own."""

    def prepare_evaluation(self) -> None:
        chosen = torch.arange(_STATISTICS_IMAGES) * len(self.base.labels) // _STATISTICS_IMAGES
        measure_running_statistics(self.backbone, self.base.augmented(chosen))
        self.backbone.eval()

    def own_scores(self, images: Tensor, _embeddings_ND: Tensor, support_TKS: Tensor, query_Tq: Tensor) -> Tensor:
        self.backbone.train()
        scores = cast("Maml", self.objective).scores(self.backbone, images[support_TKS], images[query_Tq])
        self.backbone.eval()
        return scores

    def _loss_of(self, images_TKs3HW: Tensor, shots: int) -> Tensor:
        return query_loss(
            cast("Maml", self.objective).scores(
                self.backbone, images_TKs3HW[:, :, :shots], images_TKs3HW[:, :, shots:].flatten(1, 2)
            )
        )


def _protonet(base: BaseImages, seed: int) -> Learner:
    """20-way 5-shot episodes, as in the paper; 5 queries instead of 15, for more steps."""
    backbone, head = base.network(), ProtoNet()
    return Episodic(base, seed, backbone, head, tasks=1, ways=20, shots=(5,), queries=5)


def _r2d2(base: BaseImages, seed: int) -> Learner:
    """4 episodes a step, 5-way 5-shot with 6 queries, as for MetaOptNet: its authors' code trains both alike."""
    backbone, head = base.network(), RidgeHead()
    return Episodic(base, seed, backbone, head, tasks=4, shots=(5,), queries=6)


def _metaoptnet(base: BaseImages, seed: int) -> Learner:
    """5-way 5-shot episodes with 6 queries, as in the authors' code for CIFAR-FS; 4 a step instead of 8, for more steps."""
    backbone, head = base.network(), SvmHead()
    return Episodic(base, seed, backbone, head, tasks=4, shots=(5,), queries=6)


def _anil(base: BaseImages, seed: int) -> Learner:
    """1-shot and 5-shot episodes in turn: the inner loop depends on the shots more than a closed form does."""
    backbone = base.network()
    head = Anil(backbone.embedding_dim, WAYS)
    return Episodic(base, seed, backbone, head, tasks=4, shots=(1, 5), queries=6)


def _maml(base: BaseImages, seed: int) -> Learner:
    """The episodes of ANIL, but 2 a step, the paper's number for 5 shots."""
    backbone = base.network()
    use_batch_statistics(backbone)
    return InnerLoop(base, seed, backbone, Maml(backbone.embedding_dim, WAYS), tasks=2, shots=(1, 5), queries=6)


LEARNERS: dict[str, Callable[[BaseImages, int], Learner]] = {
    "MTL": MultiTask,
    "ProtoNet": _protonet,
    "R2D2": _r2d2,
    "MetaOptNet": _metaoptnet,
    "ANIL": _anil,
    "MAML": _maml,
}
