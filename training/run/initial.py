"""Starting points of a training run, other than random weights: a network made elsewhere, a finished run, or a bundle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from models.backbones import Backbone
from models.backbones.pretrained import is_pretrained, load_pretrained
from models.bundle import MANIFEST, SHIPPED, find_bundles, open_bundle
from models.manifest import Architecture, Training
from training.data.dataset import ImageSet
from training.objectives import TURNS, turn
from training.run.checkpoint import Checkpoint, CheckpointError
from training.run.folded import read_network, renormalise
from training.run.recipes import RECIPES, Recipe

_BATCHES, _BATCH = 16, 64  # enough for statistics that training's batches hardly differ from


@dataclass(frozen=True)
class Initial:
    """The starting point of a training run.

    Attributes:
        architecture: its `mean` and `std` are those that the weights were trained with.
        input_size: side of the square images that the network was made for.
        state: for `build_backbone(architecture, input_size).load_state_dict`.
        origin: the source and its weights, in words.
        classes: that it was trained on, as far as they are known.
        folded: whether its batch normalisation needs statistics, which an export left out.
        recipe: that it was trained by; None where this release has none of that name.
    """

    architecture: Architecture
    input_size: int
    state: dict[str, Any]
    origin: str
    classes: tuple[str, ...] = ()
    folded: bool = False
    recipe: Recipe | None = None

    def put_into(self, checkpoint: Checkpoint, datasets: Sequence[ImageSet] = ()) -> None:
        """Gives a fresh run these weights, and heads drawn from its seed.

        Args:
            datasets: the run's base images; they are used where the weights are folded.

        Raises:
            CheckpointError: they do not fit the recipe's network.
        """
        torch.manual_seed(checkpoint.info.seed)
        learner = checkpoint.new_learner()
        try:
            learner.load_initial(self.state)
        except RuntimeError as error:
            raise CheckpointError(f"{self.origin} does not fit the recipe: {str(error).splitlines()[-1].strip()}") from error
        if self.folded:
            renormalise(learner.backbone, _augmented(datasets, checkpoint.recipe))
        checkpoint.learner = learner.state_dict()


def _augmented(datasets: Sequence[ImageSet], recipe: Recipe) -> Iterator[Tensor]:
    """Yields batches of base images of every dataset, (N, 3, H, W) in [0, 1], as training shows them."""
    for number in range(_BATCHES):
        images = datasets[number % len(datasets)].images
        batch = recipe.augmentation(torch.from_numpy(images[torch.randint(len(images), (_BATCH,)).numpy()]))
        yield batch if recipe.rotation == "off" else turn(batch, torch.randint(TURNS, (_BATCH,)))


def initial_network(source: str, weights: str | None = None, input_size: int | None = None) -> Initial:
    """Returns the network that `headstart-train run --init SOURCE` starts from.

    Args:
        source: `efficientnet-lite0`, `torchvision:NAME`, `timm:NAME`, the folder of a finished run or of a bundle, or the id of
            a shipped bundle.
        weights: of a published network: see `load_pretrained`.
        input_size: None for the size that the network was made for.

    Raises:
        PretrainedError: the network or its weights are not available, or no weights are named.
        CheckpointError: there is no such run, or it is not finished, or weights were named beside it; or the bundle's network
            cannot be trained on.
        BundleError: the bundle cannot be opened.
    """
    if is_pretrained(source):
        pretrained = load_pretrained(source, weights, input_size)
        backbone = Backbone(pretrained.network, pretrained.mean, pretrained.std)
        architecture = Architecture(name=source, widths=(), mean=pretrained.mean, std=pretrained.std)
        origin = f"{source} ({pretrained.weights})"
        return Initial(architecture, pretrained.input_size, backbone.state_dict(), origin)
    if weights is not None:
        raise CheckpointError(f"{source} has its own weights; leave out --weights")
    folder = find_bundles(SHIPPED).get(source, Path(source))
    if (folder / MANIFEST).exists():
        return _of_bundle(folder, input_size)
    checkpoint = Checkpoint.load(folder)
    if not checkpoint.finished:
        raise CheckpointError(f"the run {source} is not finished; resume it first")
    state = checkpoint.trained_backbone().state_dict()
    size = input_size or checkpoint.recipe.input_size
    origin = f"run {Path(source).name}"
    return Initial(checkpoint.architecture, size, state, origin, checkpoint.info.classes, recipe=checkpoint.recipe)


def _of_bundle(folder: Path, input_size: int | None) -> Initial:
    bundle = open_bundle(folder)
    manifest, network = bundle.manifest, read_network(bundle)
    size = input_size or manifest.input.height
    origin, made = f"bundle {bundle.id}", cast("Training", manifest.training)  # `read_network` refuses imported ones
    recipe = RECIPES.get(made.recipe)
    return Initial(manifest.architecture, size, network.state_dict(), origin, made.classes, folded=True, recipe=recipe)
