"""Named, typed training recipes. Each states its command, its duration and its expected score."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from training.augment import Augmentation


class Recipe(BaseModel):
    """Everything about a training run but its data, its seed and its device.

    Attributes:
        name: what `headstart-train run` takes.
        summary: command, hardware, duration and expected score, for `headstart-train run --help`.
        network: `resnet12` or `conv4`.
        widths: channels of the network's blocks.
        epochs: passes over the base images (for `ways`, as many images as in a pass).
        ways: classes of each training task; None trains one task of every base class (joint training).
        shots: images per class in each training task; used with `ways` only.
        batch_size: images per step.
        learning_rate: the peak of the schedule, for SGD with Nesterov momentum.
        schedule: `cosine` (with linear warm-up over the share `warmup` of all steps) or `step` (a tenth at each milestone).
        milestones: shares of all steps at which `step` decays.
        rotation_every: every how many steps rotation joins as a second task; 0 is never.
        dropblock: rate of DropBlock in the last two blocks of ResNet-12.
        precision: what the network computes in; losses and weights stay float32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str
    network: Literal["resnet12", "conv4"]
    widths: tuple[int, ...]
    epochs: int
    ways: int | None = None
    shots: int = 4
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["cosine", "step"] = "cosine"
    warmup: float = 0.3
    milestones: tuple[float, ...] = ()
    rotation_every: int = 0
    dropblock: float = 0.0
    input_size: int = 32
    augmentation: Augmentation = Augmentation()
    precision: Literal["bfloat16", "float32"] = "bfloat16"

    def rate(self, progress: float) -> float:
        """The learning rate after the share `progress` of all steps."""
        if self.schedule == "step":
            return self.learning_rate * 0.1 ** sum(progress >= milestone for milestone in self.milestones)
        if progress < self.warmup:
            return self.learning_rate * (0.04 + 0.96 * progress / self.warmup)
        remaining = (progress - self.warmup) / (1.0 - self.warmup)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * remaining))


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="cifar-fs-resnet12-small",
            summary="the shipped bundle: 16 epochs of CIFAR-FS, 45 to 85 minutes on two CPU cores, 69.4 / 84.4 % at 1 / 5 shots",
            network="resnet12",
            widths=(64, 128, 256, 512),
            epochs=16,
            rotation_every=2,
        ),
        Recipe(
            name="quick",
            summary="a first look: Conv-4, 4 epochs of CIFAR-FS, 1 to 3 minutes on two CPU cores, 54.6 / 70.9 % at 1 / 5 shots",
            network="conv4",
            widths=(64,),
            epochs=4,
        ),
        Recipe(
            name="paper-5-way",
            summary="the paper's 5-way tasks: Conv-4, 8 epochs of CIFAR-FS, 2 to 4 minutes on two CPU cores, 55.2 / 71.6 %",
            network="conv4",
            widths=(64,),
            epochs=8,
            ways=5,
            batch_size=80,
        ),
    )
}
