"""The training loop: mixed precision, checkpoints, resume, progress.

All randomness of a step derives from (seed, step), so a resumed run continues bit for bit on the CPU.
"""

import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.nn import ModuleDict
from tqdm import tqdm

from models.backbones import build_backbone
from models.heads import Float32
from models.manifest import HeadOptions
from training import curves
from training.batches import BatchSampler
from training.checkpoint import Checkpoint
from training.data import ImageSet
from training.episodes import EpisodeSampler
from training.evaluate import score
from training.objectives import ClassBank, Rotation, turn

_SAVE_EVERY_SECONDS = 600
_VALIDATION_IMAGES_PER_CLASS = 60
_VALIDATION_EPISODES = 300


class Interrupted(Exception):
    """Training stopped at the user's request; the checkpoint is up to date."""


class Trainer:
    """One run: a network, its objectives and its place in the schedule.

    Args:
        checkpoint: where to start: freshly made, or loaded from `folder`.
        base: images of the base classes.
        validation: images of the validation classes, or None not to measure.
        folder: receives the checkpoint, the curves and the TensorBoard log.
        device: where to train.
    """

    def __init__(
        self, checkpoint: Checkpoint, base: ImageSet, validation: ImageSet | None, folder: Path, device: torch.device
    ) -> None:
        self.recipe = checkpoint.recipe
        self.checkpoint = checkpoint
        self.folder = folder
        self.device = device
        self.images = torch.from_numpy(base.images).to(device)
        self.labels = torch.from_numpy(base.labels).to(device)
        self.validation = validation.first_per_class(_VALIDATION_IMAGES_PER_CLASS) if validation else None
        self.sampler = BatchSampler(base.labels, self.recipe, checkpoint.info.seed)
        self.total_steps = self.recipe.epochs * self.sampler.steps_per_epoch

        torch.manual_seed(checkpoint.info.seed)
        self.backbone = build_backbone(checkpoint.architecture, self.recipe.input_size, self.recipe.dropblock)
        self.backbone.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.bank = ClassBank(len(base.classes), self.backbone.embedding_dim)
        self.rotation = Rotation(self.backbone.embedding_dim)
        self.objectives = ModuleDict({"bank": self.bank, "rotation": self.rotation}).to(device)
        self.optimizer = torch.optim.SGD(
            [*self.backbone.parameters(), *self.objectives.parameters()],
            lr=self.recipe.learning_rate,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
            nesterov=True,
        )
        if checkpoint.step:
            self.backbone.load_state_dict(checkpoint.backbone)
            self.objectives.load_state_dict(checkpoint.objectives)
            self.optimizer.load_state_dict(checkpoint.optimizer)

    def run(self) -> Checkpoint:
        """Trains to the end of the schedule and returns the final checkpoint, which is also on disk.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the run can be resumed from its folder.
            CheckpointError: a checkpoint could not be written.
        """
        with _stop_signals() as stopped, self._progress() as bar:
            started, saved = time.monotonic() - self.checkpoint.seconds, time.monotonic()
            losses = [torch.tensor(loss, device=self.device) for loss in self.checkpoint.losses]
            for step in range(self.checkpoint.step, self.total_steps):
                losses.append(self._step(step))
                bar.update(self.recipe.batch_size)
                epoch, into_epoch = divmod(step + 1, self.sampler.steps_per_epoch)
                if (step + 1) % 20 == 0:
                    bar.set_postfix(epoch=f"{epoch}/{self.recipe.epochs}", loss=f"{losses[-1].item():.3f}")
                ended = into_epoch == 0
                if ended:
                    self._finish_epoch(epoch, step, torch.stack(losses), time.monotonic() - started)
                    losses = []
                if ended or stopped() or time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                    self._save(step + 1, time.monotonic() - started, [float(loss) for loss in losses])
                    saved = time.monotonic()
                if stopped() and step + 1 < self.total_steps:
                    raise Interrupted(f"stopped after step {step + 1} of {self.total_steps}")
        return self.checkpoint

    def _step(self, step: int) -> Tensor:
        recipe, batch = self.recipe, self.sampler.batch(step)
        torch.manual_seed(int(np.random.SeedSequence((self.checkpoint.info.seed, 2, step)).generate_state(1)[0]))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(step / self.total_steps)
        chosen = torch.from_numpy(batch.images).to(self.device)
        tasks = None if batch.tasks is None else torch.from_numpy(batch.tasks).to(self.device)
        images = recipe.augmentation(self.images[chosen])
        turns = None
        if recipe.rotation_every and (step + 1) % recipe.rotation_every == 0:
            turns = torch.randint(0, 4, (len(images),), device=self.device)
            images = turn(images, turns)
        self.backbone.train()
        with self._autocast():
            embeddings = self.backbone(images.contiguous(memory_format=torch.channels_last))
        embeddings = embeddings.float()
        loss: Tensor = self.bank(embeddings, self.labels[chosen], tasks)
        if turns is not None:
            loss = loss + self.rotation(embeddings, turns)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _finish_epoch(self, epoch: int, step: int, losses: Tensor, seconds: float) -> None:
        row = {
            "epoch": float(epoch),
            "loss": float(losses.mean()),
            "learning_rate": self.recipe.rate(step / self.total_steps),
            "seconds": seconds,
            **self._validate(),
        }
        self.checkpoint.history.append(row)
        curves.draw(self.checkpoint.history, self.folder / "curves.png")
        curves.log(row, self.folder / "tensorboard")
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in row.items()))

    def _validate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        embeddings = self._embed(self.validation)
        options = HeadOptions(solver="prototype", C=1.0, temperature=1.0, centre=False)
        result = {}
        for shots in (1, 5):
            sampler = EpisodeSampler(self.validation.indices_by_class(), 5, shots, 15, seed=0)
            scored = score(embeddings, embeddings[0], sampler, _VALIDATION_EPISODES, options)
            result[f"validation_{shots}-shot"] = scored.accuracy
        return result

    @torch.inference_mode()
    def _embed(self, images: ImageSet) -> Float32:
        self.backbone.eval()
        parts = []
        for start in range(0, len(images), 256):
            pixels = torch.from_numpy(images.images[start : start + 256])
            batch = pixels.to(self.device).permute(0, 3, 1, 2).float() / 255.0
            with self._autocast():
                parts.append(self.backbone(batch).float().cpu())
        return torch.cat(parts).numpy()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def _save(self, step: int, seconds: float, losses: list[float]) -> None:
        self.checkpoint = replace(
            self.checkpoint,
            step=step,
            seconds=seconds,
            hardware=_describe(self.device),
            losses=losses,
            backbone=self.backbone.state_dict(),
            objectives=self.objectives.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )
        self.checkpoint.save(self.folder)

    def _progress(self) -> "tqdm[NoReturn]":
        size = self.recipe.batch_size
        return tqdm(total=self.total_steps * size, initial=self.checkpoint.step * size, unit="img", unit_scale=True)


def channel_statistics(images: ImageSet) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each colour channel over all pixels, on the scale [0, 1]."""
    levels = np.arange(256) / 255.0
    means, deviations = [], []
    for channel in range(3):
        share = np.bincount(images.images[..., channel].ravel(), minlength=256) / images.images[..., channel].size
        mean = float(share @ levels)
        means.append(mean)
        deviations.append(float(np.sqrt(share @ (levels - mean) ** 2)))
    return (means[0], means[1], means[2]), (deviations[0], deviations[1], deviations[2])


@contextmanager
def _stop_signals() -> Iterator["_Stop"]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    """Remembers that a signal asked to stop."""

    def __init__(self) -> None:
        self._requested = False

    def request(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True

    def __call__(self) -> bool:
        return self._requested


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
