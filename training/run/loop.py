"""The training loop: objectives, mixed precision, several devices, checkpoints, resume, progress.

All randomness of a step derives from (seed, step), so a resumed run continues bit for bit on the CPU.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.heads.head import Float32, features
from models.manifest import HeadOptions
from training.data.dataset import ImageSet
from training.devices import describe
from training.evaluation.episodes import SHOTS, WAYS, EpisodeSampler, affordable_queries
from training.evaluation.evaluate import episode_accuracies
from training.run import curves
from training.run.average import WeightAverage
from training.run.balance import Term, find_balancing
from training.run.checkpoint import Checkpoint
from training.run.distributed import synchronise_batch_norm
from training.run.feed import Feed, TrainingSet
from training.run.interrupt import Interrupted, stop_signals
from training.run.learner import ANCHOR, CLASSES, DISTILLATION, INVARIANCE, ROTATION, Learner, Share

_SAVE_EVERY_SECONDS = 600
_VALIDATION_IMAGES_PER_CLASS = 60
_VALIDATION_EPISODES = 300

Row = Mapping[str, float]


class Trainer:
    """One run: a network, its objectives and its place in the schedule.

    Args:
        checkpoint: the state to start from: freshly made, or loaded from `folder`.
        datasets: as many as the checkpoint names, in its order.
        folder: receives the checkpoint, the curves and the TensorBoard log.
        fabric: the launched device or devices to train on.
        teacher: the finished run to distil from, with the same datasets.

    Raises:
        DataError: the datasets do not suffice for the recipe's batches.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        datasets: Sequence[TrainingSet],
        folder: Path,
        fabric: Fabric,
        teacher: Learner | None = None,
    ) -> None:
        self.recipe = recipe = checkpoint.recipe
        self.checkpoint = checkpoint
        self.folder = folder
        self.fabric = fabric
        device, world = fabric.device, fabric.world_size

        self.validation = [data.validation and data.validation.first_per_class(_VALIDATION_IMAGES_PER_CLASS) for data in datasets]
        self.feed = Feed([data.base for data in datasets], recipe, checkpoint.info.seed, fabric)
        self.total_steps = recipe.epochs * self.feed.steps_per_epoch

        torch.manual_seed(checkpoint.info.seed)
        self.learner = checkpoint.new_learner()
        if checkpoint.learner:
            self.learner.load_state_dict(checkpoint.learner)
        if world > 1:
            self.learner = synchronise_batch_norm(self.learner, device)
        self.learner.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = WeightAverage(self.learner, recipe.ema_decay, checkpoint.average) if recipe.ema_decay else None
        self.teacher = teacher.to(device).eval().requires_grad_(False) if teacher else None
        balancing = find_balancing(recipe.balancing)
        self.balance = balancing.make(self._objectives(), list(self.learner.backbone.parameters())).to(device)
        if device.type == "cuda" and self.balance.one_pass:
            self.learner.backbone.compile()
        self.optimizer = torch.optim.SGD(
            self._parameter_groups(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
        )
        if checkpoint.step:
            self.balance.load_state_dict(checkpoint.balance)
            self.optimizer.load_state_dict(checkpoint.optimizer)
        self.model, self.stepper = fabric.setup(self.learner, self.optimizer, move_to_device=False)
        if world == 1:
            self.model = self.learner  # Fabric's wrapper allows no gradients but `fabric.backward`'s; balancing takes others.

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Returns the parameters of the network, of the class banks and of the balance, with factors of the learning rate."""
        of_banks = {id(parameter) for parameter in self.learner.banks.parameters()}
        trained = [parameter for parameter in self.learner.parameters() if parameter.requires_grad]
        return [
            {"params": [parameter for parameter in trained if id(parameter) not in of_banks], "factor": 1.0},
            {"params": [parameter for parameter in trained if id(parameter) in of_banks], "factor": self.recipe.bank_rate},
            {"params": list(self.balance.parameters()), "factor": 1.0, "weight_decay": 0.0},
        ]

    def run(self, goes_on: Callable[[Row], bool] = lambda _: True) -> Checkpoint:
        """Trains to the end of the schedule and returns the final checkpoint, which is also on disk.

        Args:
            goes_on: is asked after each epoch, once that is on disk, and told its row of the history; False ends the run there.
                For one process only.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the run can be resumed from its folder.
            CheckpointError: a checkpoint could not be written.
        """
        with stop_signals() as stopped, self._progress() as bar:
            started, saved = time.monotonic() - self.checkpoint.seconds, time.monotonic()
            losses = [torch.tensor(loss, device=self.fabric.device) for loss in self.checkpoint.losses]
            for step in range(self.checkpoint.step, self.total_steps):
                losses.append(self.step(step))
                bar.update(self.recipe.batch_size)
                epoch, into_epoch = divmod(step + 1, self.feed.steps_per_epoch)
                if (step + 1) % 20 == 0:
                    bar.set_postfix(epoch=f"{epoch}/{self.recipe.epochs}", loss=f"{losses[-1].item():.3f}")
                ended = into_epoch == 0
                if ended and self.fabric.is_global_zero:
                    self._finish_epoch(epoch, step, torch.stack(losses), time.monotonic() - started)
                losses = [] if ended else losses
                stopping = self._agreed(stopped())
                if ended or stopping or time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                    self._save(step + 1, time.monotonic() - started, [float(loss) for loss in losses])
                    saved = time.monotonic()
                if ended and self.fabric.is_global_zero and not goes_on(self.checkpoint.history[-1]):
                    break
                if stopping and step + 1 < self.total_steps:
                    self.fabric.barrier()  # Fabric kills the saving process once another has ended with an error.
                    raise Interrupted(f"stopped after step {step + 1} of {self.total_steps}")
        return self.checkpoint

    def step(self, step: int) -> Tensor:
        """Trains on the batch of that step. Returns the loss, a scalar on the device, averaged over processes."""
        self._seed(2, step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * self.recipe.rate(step / self.total_steps)
        images, shares, turns = self.feed.draw(step)
        if self.fabric.world_size > 1:  # DropBlock's masks of one process must not be another's
            self._seed(3, step, self.fabric.global_rank)
        self.learner.train()
        with self.fabric.autocast():
            embeddings, losses = self.model(images, shares, turns, self.teacher)
        terms = {name: Term(loss, self._weight(name, shares)) for name, loss in losses.items()}
        self.optimizer.zero_grad(set_to_none=True)
        self.balance.backward(terms, embeddings, self.fabric)
        if self.fabric.world_size > 1:  # the balance is outside what DDP averages
            for parameter in self.balance.parameters():
                parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")  # type: ignore[arg-type, assignment]
        self.stepper.step()
        if self.average:
            self.average.update(self.learner)
        loss = torch.stack([term.weight * term.loss.detach() for term in terms.values()]).sum()
        return loss if self.fabric.world_size == 1 else self.fabric.all_reduce(loss, reduce_op="mean")  # type: ignore[return-value]

    def _seed(self, *purpose: int) -> None:
        """Seeds PyTorch from the run's seed and the purpose of the numbers."""
        torch.manual_seed(int(np.random.SeedSequence((self.checkpoint.info.seed, *purpose)).generate_state(1)[0]))

    def _objectives(self) -> list[str]:
        """Returns the names of every objective that a step can have."""
        kinds = (CLASSES, DISTILLATION) if self.teacher else (CLASSES,)
        names = [f"{kind}/{position}" for kind in kinds for position in range(len(self.validation))]
        names += [] if self.recipe.rotation == "off" else [ROTATION]
        names += [INVARIANCE] if self.recipe.invariance_weight else []
        return [*names, ANCHOR] if self.recipe.anchor_weight else names

    def _weight(self, name: str, shares: Sequence[Share]) -> float:
        """Returns the prior weight of an objective: the recipe's, times the share of the batch that it uses."""
        kind, _, position = name.partition("/")
        if kind == ROTATION:
            return self.recipe.rotation_weight
        if kind == INVARIANCE:
            return self.recipe.invariance_weight
        if kind == ANCHOR:
            return self.recipe.anchor_weight
        judged = len(shares[int(position)].labels_n) / sum(len(share.labels_n) for share in shares)
        distilled = self.recipe.distillation_weight if self.teacher else 0.0
        return judged * (distilled if kind == DISTILLATION else 1.0 - distilled)

    def _finish_epoch(self, epoch: int, step: int, losses: Tensor, seconds: float) -> None:
        row = {
            "epoch": float(epoch),
            "loss": float(losses.mean()),
            "learning_rate": self.recipe.rate(step / self.total_steps),
            "seconds": seconds,
            **self.validate(),
        }
        self.checkpoint.history.append(row)
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in row.items()))
        try:
            curves.draw(self.checkpoint.history, self.folder / "curves.png")
            curves.log(row, self.folder / "tensorboard")
        except OSError as error:  # Not worth losing an epoch. The checkpoint comes next, and reports a full disk.
            tqdm.write(f"the curves were not written: {error}")

    def validate(self) -> dict[str, float]:
        """Measures accuracy on episodes of the validation classes, with class-mean heads; one column per dataset and shot."""
        return {column: float(accuracy.mean()) for column, accuracy in self.accuracies(_VALIDATION_EPISODES, seed=0).items()}

    def accuracies(self, episodes: int, seed: int) -> dict[str, NDArray[np.float64]]:
        """Returns the accuracy of each validation episode, (episodes,) for each column of `validate`; the seed draws them."""
        options = HeadOptions(solver="prototype", C=1.0, temperature=1.0, centre=False)
        result = {}
        for images, info in zip(self.validation, self.checkpoint.info.datasets, strict=True):
            if images is None or len(images.classes) < 2:
                continue
            space = features(self.embed(images), None)
            by_class = images.indices_by_class()
            queries = affordable_queries(by_class, max(SHOTS))
            for shots in SHOTS:
                sampler = EpisodeSampler(by_class, min(WAYS, len(by_class)), shots, queries, seed)
                of = f"_{info.split.dataset}" if len(self.validation) > 1 else ""
                result[f"validation_{shots}-shot{of}"] = episode_accuracies(space, sampler, episodes, options)
        return result

    def embed(self, images: ImageSet) -> Float32:
        """Returns embeddings (N, D) by the network that an export would take now."""
        learner = (self.average.learner if self.average else self.learner).eval()
        parts = []
        for start in range(0, len(images), 256):
            pixels = torch.from_numpy(images.images[start : start + 256]).to(self.fabric.device)
            with self.fabric.autocast():
                parts.append(learner.embed(pixels.permute(0, 3, 1, 2).float() / 255.0).cpu())
        return torch.cat(parts).numpy()

    def _agreed(self, here: bool) -> bool:
        """Returns whether any process was asked to stop."""
        return here if self.fabric.world_size == 1 else self.fabric.strategy.reduce_boolean_decision(here, all=False)

    def _save(self, step: int, seconds: float, losses: list[float]) -> None:
        self.checkpoint = replace(
            self.checkpoint,
            step=step,
            seconds=seconds,
            hardware=describe(self.fabric.device, self.fabric.world_size),
            losses=losses,
            learner=self.learner.state_dict(),
            balance=self.balance.state_dict(),
            optimizer=self.optimizer.state_dict(),
            average=self.average.state_dict() if self.average else {},
        )
        if self.fabric.is_global_zero:
            self.checkpoint.save(self.folder)

    def _progress(self) -> "tqdm[NoReturn]":
        size = self.recipe.batch_size
        return tqdm(
            total=self.total_steps * size,
            initial=self.checkpoint.step * size,
            unit="img",
            unit_scale=True,
            disable=not self.fabric.is_global_zero,
        )
