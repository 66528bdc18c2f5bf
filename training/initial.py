"""Where a training run may begin, other than at random: a network made elsewhere, or a finished run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.backbones import Backbone
from models.backbones.pretrained import is_pretrained, load_pretrained
from models.manifest import Architecture, InputSpec, Interpolation
from training.checkpoint import Checkpoint
from training.export import ExportError


@dataclass(frozen=True)
class Initial:
    """Where a training run may begin.

    Attributes:
        architecture: its `mean` and `std` are those that the weights were trained with.
        input_size: side of the square images that the network was made for.
        state: for `build_backbone(architecture, input_size).load_state_dict`.
        origin: the source and its weights, in words.
    """

    architecture: Architecture
    input_size: int
    interpolation: Interpolation
    state: dict[str, Any]
    origin: str


def initial_network(source: str, weights: str | None = None) -> Initial:
    """The network that `headstart-train run --init SOURCE` starts from.

    Args:
        source: `torchvision:NAME`, `timm:NAME`, or the folder of a finished run.
        weights: of a library's network: see `load_pretrained`.

    Raises:
        ExportError: the weights are not named, or named for a run, or the run is not finished.
        PretrainedError: the network or its weights cannot be had.
        CheckpointError: there is no such run.
    """
    if is_pretrained(source):
        pretrained = load_pretrained(source, weights)
        backbone = Backbone(pretrained.network, pretrained.mean, pretrained.std)
        architecture = Architecture(name=source, widths=(), mean=pretrained.mean, std=pretrained.std)
        origin = f"{source} ({pretrained.weights})"
        return Initial(architecture, pretrained.input_size, pretrained.interpolation, backbone.state_dict(), origin)
    if weights is not None:
        raise ExportError(f"{source} is a run, which has its own weights; leave out --weights")
    checkpoint = Checkpoint.load(Path(source))
    if not checkpoint.finished:
        raise ExportError(f"the run {source} is not finished; resume it first")
    size = checkpoint.recipe.input_size
    interpolation = InputSpec(height=size, width=size).interpolation
    state = checkpoint.trained_backbone().state_dict()
    return Initial(checkpoint.architecture, size, interpolation, state, f"run {Path(source).name}")
