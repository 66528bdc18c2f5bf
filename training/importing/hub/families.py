"""The kinds of network that are imported from folders, and the embedding that the field takes from each.

The numbers of a kind are those that its authors evaluate with, or publish as its pooled output:

- DINOv2, DINOv3 (ViT): the class token after the last norm. DINOv3 (ConvNeXt), ConvNeXt, Swin: the mean over all places, normed.
- ViT: the class token after the last norm. The pooler behind it was trained with BERT's objective, if at all.
- CLIP, SigLIP: the image's embedding in the space that texts share; for CLIP the projected one.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.backbones.pretrained import EmbeddingNetwork
from models.backbones.weights import one_line
from training.export.bundle import ExportError
from training.importing.hub.folder import HubFolder

_ONE_FILE = (1 << 31) - 1  # bytes of an ONNX file
_NOT_NEEDED = ("mask_token", "position_ids", "relative_position_index")  # used in pretraining alone, or computed


def _pooler(network: Any, images: Tensor) -> Tensor:
    pooled: Tensor = network(images).pooler_output
    return pooled


def _class_token(network: Any, images: Tensor) -> Tensor:
    token: Tensor = network(images).last_hidden_state[:, 0]
    return token


def _clip(network: Any, images: Tensor) -> Tensor:
    projected: Tensor = network.visual_projection(network.vision_model(images).pooler_output)
    return projected


def _siglip(network: Any, images: Tensor) -> Tensor:
    pooled: Tensor = network.vision_model(images).pooler_output
    return pooled


@dataclass(frozen=True)
class Family:
    """A kind of network.

    Attributes:
        model: its class in transformers.
        embed: from that class and normalised images (N, 3, H, W) to embeddings (N, D).
        settings: of the class.
        has_text: whether the folder holds a network for texts as well.
    """

    model: str
    embed: Callable[[Any, Tensor], Tensor] = _pooler
    settings: tuple[tuple[str, Any], ...] = ()
    has_text: bool = False


FAMILIES = {
    "dinov2": Family("Dinov2Model"),
    "dinov2_with_registers": Family("Dinov2WithRegistersModel"),
    "dinov3_vit": Family("DINOv3ViTModel"),
    "dinov3_convnext": Family("DINOv3ConvNextModel"),
    "vit": Family("ViTModel", _class_token, (("add_pooling_layer", False),)),
    "swin": Family("SwinModel"),
    "swinv2": Family("Swinv2Model"),
    "convnext": Family("ConvNextModel"),
    "convnextv2": Family("ConvNextV2Model"),
    "clip": Family("CLIPModel", _clip, has_text=True),
    "siglip": Family("SiglipModel", _siglip, has_text=True),
}
_REFUSED = {
    "siglip2": "it is SigLIP 2 with NaFlex, which takes images of any shape in pieces; take one of a fixed size, as "
    "siglip2-base-patch16-224",
}


def family_of(folder: HubFolder) -> Family:
    """Returns the kind of a folder's network.

    Raises:
        ExportError: it is not one that is imported.
    """
    if folder.family in FAMILIES:
        return FAMILIES[folder.family]
    known = f"it is {folder.family or 'unnamed'!r}, and imported are {', '.join(FAMILIES)}"
    raise ExportError(f"{folder.path} cannot be imported: {_REFUSED.get(folder.family, known)}")


class ImageTower(nn.Module):
    """Maps normalised images (N, 3, H, W) to embeddings (N, D), by a network of transformers."""

    def __init__(self, network: nn.Module, family: Family) -> None:
        super().__init__()
        self.network = network
        self._embed = family.embed

    def forward(self, x_N3HW: Tensor) -> Tensor:
        return self._embed(self.network, x_N3HW)


def load_network(folder: HubFolder) -> Any:
    """Returns a folder's network in float32, on the CPU in evaluation mode.

    Raises:
        ExportError: transformers is missing, or the weights are damaged, incomplete or another network's.
    """
    family = family_of(folder)
    model = getattr(quiet_transformers(), family.model)
    try:
        network, found = model.from_pretrained(
            folder.path,
            dtype=torch.float32,
            attn_implementation="eager",  # Swin's other one cannot be exported.
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **dict(family.settings),
        )
    except Exception as error:  # Files of any kind make it raise many types.
        raise ExportError(f"{folder.path}: transformers cannot load its network: {one_line(error)}") from error
    missing = sorted(name for name in found["missing_keys"] if not name.endswith(_NOT_NEEDED))
    if missing:
        raise ExportError(f"{folder.path} lacks {len(missing)} weights of a {folder.family} network, such as {missing[0]}")
    if sum(math.prod(weight.shape) for weight in network.parameters()) * 4 > _ONE_FILE:
        raise ExportError(f"{folder.path} holds more than 2 GB of weights in float32, which one ONNX file cannot")
    return network.eval()


def image_tower(folder: HubFolder, network: Any, size: tuple[int, int]) -> EmbeddingNetwork:
    """Returns the part of a network that embeds images of `size`, (height, width).

    Raises:
        ExportError: it does not take images of that size.
    """
    tower = ImageTower(network, family_of(folder))
    try:
        with torch.inference_mode():
            width = tower(torch.zeros(1, 3, *size)).shape[1]
    except Exception as error:  # Its own check, or that of an operator.
        shape = f"{size[0]} x {size[1]}"
        raise ExportError(
            f"{folder.path}: its network does not take the {shape} pixels of its preprocessing: {one_line(error)}"
        ) from error
    return EmbeddingNetwork(tower, width).eval()


def quiet_transformers() -> Any:
    """Returns transformers, which from then on writes nothing to the terminal.

    Raises:
        ExportError: it is not installed.
    """
    try:
        import transformers  # It is slow to import, and optional.
    except ModuleNotFoundError as error:
        raise ExportError(
            "hf:FOLDER needs transformers, which is not installed here: pip install '.[cpu,train,import]'"
        ) from error
    transformers.utils.logging.set_verbosity(logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    return transformers
