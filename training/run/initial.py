"""Starting points of a training run, other than random weights: a network made elsewhere, or a finished run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.backbones import Backbone
from models.backbones.pretrained import is_pretrained, load_pretrained
from models.manifest import Architecture
from training.run.checkpoint import Checkpoint, CheckpointError


@dataclass(frozen=True)
class Initial:
    """The starting point of a training run.

    Attributes:
        architecture: its `mean` and `std` are those that the weights were trained with.
        input_size: side of the square images that the network was made for.
        state: for `build_backbone(architecture, input_size).load_state_dict`.
        origin: the source and its weights, in words.
        classes: that it was trained on, as far as they are known.
    """

    architecture: Architecture
    input_size: int
    state: dict[str, Any]
    origin: str
    classes: tuple[str, ...] = ()

    def put_into(self, checkpoint: Checkpoint) -> None:
        """Gives a fresh run these weights, and heads drawn from its seed.

        Raises:
            CheckpointError: they do not fit the recipe's network.
        """
        torch.manual_seed(checkpoint.info.seed)
        learner = checkpoint.new_learner()
        try:
            learner.load_initial(self.state)
        except RuntimeError as error:
            raise CheckpointError(f"{self.origin} does not fit the recipe: {str(error).splitlines()[-1].strip()}") from error
        checkpoint.learner = learner.state_dict()


def initial_network(source: str, weights: str | None = None, input_size: int | None = None) -> Initial:
    """Returns the network that `headstart-train run --init SOURCE` starts from.

    Args:
        source: `efficientnet-lite0`, `torchvision:NAME`, `timm:NAME`, or the folder of a finished run.
        weights: of a published network: see `load_pretrained`.
        input_size: None for the size that the network was made for.

    Raises:
        PretrainedError: the network or its weights are not available, or no weights are named.
        CheckpointError: there is no such run, or it is not finished, or weights were named beside it.
    """
    if is_pretrained(source):
        pretrained = load_pretrained(source, weights, input_size)
        backbone = Backbone(pretrained.network, pretrained.mean, pretrained.std)
        architecture = Architecture(name=source, widths=(), mean=pretrained.mean, std=pretrained.std)
        origin = f"{source} ({pretrained.weights})"
        return Initial(architecture, pretrained.input_size, backbone.state_dict(), origin)
    if weights is not None:
        raise CheckpointError(f"{source} is a run, which has its own weights; leave out --weights")
    checkpoint = Checkpoint.load(Path(source))
    if not checkpoint.finished:
        raise CheckpointError(f"the run {source} is not finished; resume it first")
    state = checkpoint.trained_backbone().state_dict()
    size = input_size or checkpoint.recipe.input_size
    return Initial(checkpoint.architecture, size, state, f"run {Path(source).name}", checkpoint.info.classes)
