"""Named, typed training recipes. Each states its command, its duration and its expected score."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from training.run.augment import Augmentation
from training.run.balance import find_balancing

BalancingName = Annotated[str, AfterValidator(lambda name: find_balancing(name).name)]


class Recipe(BaseModel):
    """Everything about a training run but its data, its seed and its device.

    Attributes:
        name: the argument of `headstart-train run`.
        summary: hardware, duration and expected score, for `headstart-train run --help`.
        network: `resnet12`, `conv4`, or a pretrained one, as `efficientnet-lite0` or `torchvision:resnet50`.
        widths: channels of the blocks of `resnet12` and `conv4`.
        input_size: side in pixels of the square images that the network serves, and that augmentation starts from.
        epochs: passes over as many images as all datasets have base images.
        ways: classes of each training task; None trains one task of every base class (joint training).
        shots: images per class in each training task; used with `ways` only.
        normalise: whether training classifies embeddings of unit length.
        cosine_scale: where given, a class's score is this times the cosine between the embedding and the class's vector.
        label_smoothing: share of each label that is spread over all classes.
        batch_size: images per step, over all datasets and devices.
        learning_rate: the peak of the schedule, for SGD with Nesterov momentum.
        bank_rate: the learning rate of the class banks, as a multiple of the network's.
        fixed_stages: for an EfficientNet-Lite. The stem, this many stages and every depthwise kernel keep their initial weights,
            and so do all means and variances of batch normalisation. None trains everything.
        fixed_statistics: all means and variances of batch normalisation stay those of the initial network.
        anchor_weight: of the cosine distance between an image's embedding and its embedding by the initial network.
        projection: width of a last linear layer that an export fits on the base classes; None adds none. See
            `training.export.within_class`.
        schedule: `cosine` (with linear warm-up over the share `warmup` of all steps) or `step` (a tenth at each milestone).
        milestones: shares of all steps at which `step` decays.
        ema_decay: of the exponential moving average of the weights, which is measured and exported; 0 takes the last weights. See
            `training.run.average`.
        rotation: another objective, predicting by how many quarter turns an image was rotated. `off`; `alternate` turns the
            images of every second batch at random; `all` shows every image in all four rotations, at four times the cost.
        rotation_weight: of that objective; classes have weight 1.
        invariance_weight: of another objective, the likeness of an image's rotations to each other; 0 leaves it out. It needs the
            rotation `all`. See `training.objectives.invariance`.
        mixup: α of manifold mixup at a random block of ResNet-12, in joint training; 0 mixes nothing. See
            `training.objectives.mixup`.
        distillation_weight: of distillation where there is a teacher; classes then have 1 minus this.
        distillation_temperature: divides logits before they are compared with the teacher's.
        balancing: how objectives share the backbone, the name of an entry of `training.run.balance`.
        mixing_temperature: how datasets share a batch: 1 by their size, infinity evenly. See `training.run.batches.mix`.
        dropblock: rate of DropBlock in the last two blocks of ResNet-12.
        precision: the network's number format; losses and weights stay float32. `auto` is bfloat16 where the device has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    name: str
    summary: str
    network: str
    widths: tuple[int, ...]
    input_size: int = Field(default=32, ge=16)
    epochs: int = Field(ge=1)
    ways: int | None = Field(default=None, ge=2)
    shots: int = Field(default=4, ge=1)
    normalise: bool = False
    cosine_scale: float | None = Field(default=None, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    bank_rate: float = Field(default=1.0, gt=0)
    fixed_stages: int | None = Field(default=None, ge=0, le=7)
    fixed_statistics: bool = False
    anchor_weight: float = Field(default=0.0, ge=0)
    projection: int | None = Field(default=None, ge=1)
    schedule: Literal["cosine", "step"] = "cosine"
    warmup: float = Field(default=0.3, ge=0, lt=1)
    milestones: tuple[float, ...] = ()
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    rotation: Literal["off", "alternate", "all"] = "off"
    rotation_weight: float = Field(default=1.0, gt=0)
    invariance_weight: float = Field(default=0.0, ge=0)
    mixup: float = Field(default=0.0, ge=0)
    distillation_weight: float = Field(default=0.5, gt=0, lt=1)
    distillation_temperature: float = Field(default=4.0, gt=0)
    balancing: BalancingName = "fixed"
    mixing_temperature: float = Field(default=1.0, gt=0)
    dropblock: float = Field(default=0.0, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    precision: Literal["auto", "bfloat16", "float32"] = "auto"

    def rate(self, progress: float) -> float:
        """Returns the learning rate after the share `progress` of all steps."""
        if self.schedule == "step":
            return self.learning_rate * 0.1 ** sum(progress >= milestone for milestone in self.milestones)
        if progress < self.warmup:
            return self.learning_rate * (0.04 + 0.96 * progress / self.warmup)
        remaining = (progress - self.warmup) / (1.0 - self.warmup)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * remaining))


class RecipeError(ValueError):
    """A recipe cannot be changed as asked."""


def changed(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Returns the recipe with other values, which may be text.

    Raises:
        RecipeError: a recipe has no such name, or a value is not allowed.
    """
    if unknown := sorted(changes.keys() - Recipe.model_fields.keys()):
        raise RecipeError(f"a recipe has no {', '.join(unknown)}; it has {', '.join(Recipe.model_fields)}")
    try:
        return Recipe.model_validate({**recipe.model_dump(), **changes})
    except ValidationError as error:
        raise RecipeError(f"recipe: {_first(error)}") from error


def find_recipe(name_or_file: str) -> Recipe:
    """Returns the recipe of that name, or the one in a JSON file.

    Raises:
        RecipeError: there is neither, or the file holds no recipe.
    """
    if name_or_file in RECIPES:
        return RECIPES[name_or_file]
    try:
        return Recipe.model_validate_json(Path(name_or_file).read_text(encoding="utf-8"))
    except OSError as error:
        names = ", ".join(RECIPES)
        raise RecipeError(f"no recipe {name_or_file}: it is neither a readable file nor one of {names}") from error
    except ValidationError as error:
        raise RecipeError(f"{name_or_file} holds no recipe: {_first(error)}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name_or_file} holds no recipe: it is not text") from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))


_RESNET12 = Recipe(
    name="cifar-fs-resnet12",
    summary="CIFAR-FS, the full ResNet-12 with every image in four rotations: for a GPU; not run to the end yet",
    network="resnet12",
    widths=(64, 160, 320, 640),
    epochs=65,
    rotation="all",
    learning_rate=0.05,
    warmup=0.05,
    dropblock=0.1,
)
_PAPER = Recipe(
    name="paper-cifar-fs",
    summary="CIFAR-FS as in the paper, 5-way tasks from the class bank: for a GPU; not run to the end yet",
    network="resnet12",
    widths=(64, 160, 320, 640),
    epochs=60,
    ways=5,
    shots=8,
    batch_size=80,
    schedule="step",
    milestones=(1 / 3, 2 / 3, 5 / 6),
    dropblock=0.1,
)
# Two CPU cores can train on a sixteenth of the images. So short a training is regularised less and has a higher rate.
_ON_CPU = {"rotation": "alternate", "learning_rate": 0.1, "warmup": 0.3, "dropblock": 0.0}
_LARGER = {"input_size": 84, "augmentation": Augmentation(padding=8)}


def _like(recipe: Recipe, name: str, summary: str, **changes: object) -> Recipe:
    return changed(recipe, {"name": name, "summary": summary, **changes})


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="quick",
            summary="a first look: Conv-4, 4 epochs; CIFAR-FS in minutes on two CPU cores, 54.6 / 70.9 % at 1 / 5 shots",
            network="conv4",
            widths=(64,),
            epochs=4,
        ),
        Recipe(
            name="cifar-fs-resnet12-small",
            summary="CIFAR-FS, three quarters of the width, 16 epochs: 84 minutes on two CPU cores, 69.4 / 84.4 %",
            network="resnet12",
            widths=(64, 128, 256, 512),
            epochs=16,
            rotation="alternate",
        ),
        _RESNET12,
        _like(
            _RESNET12,
            "fc100-resnet12",
            "FC100, the full ResNet-12 with every image in four rotations: for a GPU; not run to the end yet",
        ),
        _like(
            _RESNET12,
            "cifar-fs-resnet12-cpu",
            "CIFAR-FS, the full ResNet-12, 16 epochs: an hour and a half on two CPU cores with bfloat16, 70.3 / 84.9 %",
            epochs=16,
            **_ON_CPU,
        ),
        _like(
            _RESNET12,
            "fc100-resnet12-cpu",
            "FC100, the full ResNet-12, 18 epochs: an hour and a half on two CPU cores with bfloat16, 44.1 / 59.9 %",
            epochs=18,
            **_ON_CPU,
        ),
        Recipe(
            name="photos-efficientnet-lite0",
            summary="photographs and small pictures of several kinds, with --init efficientnet-lite0: 20 minutes on two cores",
            network="efficientnet-lite0",
            widths=(),
            input_size=160,
            epochs=2,
            cosine_scale=16.0,
            label_smoothing=0.1,
            batch_size=60,
            learning_rate=0.01,
            bank_rate=10.0,
            weight_decay=1e-4,
            warmup=0.1,
            fixed_stages=3,
            anchor_weight=0.8,
            projection=640,
            mixing_temperature=math.inf,
            augmentation=Augmentation(least_area=0.35, crop_size=128, flip=False, shrink=1 / 3),
        ),
        _PAPER,
        _like(
            _PAPER,
            "paper-fc100",
            "FC100 as in the paper, embeddings normalised in training: for a GPU; not run to the end yet",
            normalise=True,
        ),
        _like(
            _RESNET12,
            "mini-imagenet-resnet12",
            "mini-ImageNet at 84 x 84, for those who hold the data: for a GPU; never run",
            **_LARGER,
        ),
        _like(
            _RESNET12,
            "tiered-imagenet-resnet12",
            "tiered-ImageNet at 84 x 84, for those who hold the data: for a GPU; never run",
            epochs=20,
            rotation="alternate",
            **_LARGER,
        ),
    )
}
