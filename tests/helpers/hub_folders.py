"""Small random networks of each family that `hf:FOLDER` takes, saved by transformers as repositories are."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from tokenizers import models, pre_tokenizers, processors

SIDE = 32
LENGTH = 16
WORDS = ["<s>", "</s>", "<pad>", "<unk>", "a", "photo", "of", "this", "is", "cat", "dog", "."]

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_MLP = {**_SIZES, "intermediate_size": 64}
_PATCHES = {"image_size": SIDE, "patch_size": 8}
_STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_WINDOWS = {"image_size": SIDE, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
_TEXT = {**_MLP, "vocab_size": 40, "max_position_embeddings": LENGTH, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_SQUARE = {"height": SIDE, "width": SIDE}


def _clip() -> Any:
    vision = {**_MLP, **_PATCHES}
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=_TEXT, vision_config=vision, projection_dim=24))


def _siglip() -> Any:
    config = transformers.SiglipConfig(text_config=_TEXT, vision_config={**_MLP, **_PATCHES})
    return transformers.SiglipModel(config)


def _of(name: str, **sizes: Any) -> Callable[[], Any]:
    return lambda: getattr(transformers, f"{name}ForImageClassification", getattr(transformers, f"{name}Model"))(
        getattr(transformers, f"{name}Config")(**sizes)
    )


# Classifiers where there are such, as most folders of ViT, Swin and ConvNeXt hold.
FAMILIES: Mapping[str, Callable[[], Any]] = {
    "dinov2": _of("Dinov2", **_SIZES, **_PATCHES, mlp_ratio=2),
    "dinov2_with_registers": _of("Dinov2WithRegisters", **_SIZES, **_PATCHES, mlp_ratio=2),
    "dinov3_vit": _of("DINOv3ViT", **_MLP, **_PATCHES),
    "dinov3_convnext": _of("DINOv3ConvNext", **_STAGES),
    "vit": _of("ViT", **_MLP, **_PATCHES),
    "swin": _of("Swin", **_WINDOWS),
    "swinv2": _of("Swinv2", **_WINDOWS),
    "convnext": _of("ConvNext", **_STAGES),
    "convnextv2": _of("ConvNextV2", **_STAGES),
    "clip": _clip,
    "siglip": _siglip,
}

# The preprocessing that the families are published with, but for the size.
_CROPPED = {"size": {"shortest_edge": 36}, "crop_size": _SQUARE}
_PROCESSORS: Mapping[str, Callable[[], Any]] = {
    "dinov2": lambda: transformers.BitImageProcessor(**_CROPPED),
    "dinov3": lambda: transformers.DINOv3ViTImageProcessor(size=_SQUARE),
    "vit": lambda: transformers.ViTImageProcessor(size=_SQUARE),
    "swin": lambda: transformers.ViTImageProcessor(size=_SQUARE, resample=3),
    "convnext": lambda: transformers.ConvNextImageProcessor(size={"shortest_edge": SIDE}),
    "clip": lambda: transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=_SQUARE),
    "siglip": lambda: transformers.SiglipImageProcessor(size=_SQUARE),
}


def write_folder(family: str, folder: Path, **saving: Any) -> Path:
    """Writes a folder of a family, with a licence, and a tokenizer where it has a text tower; returns it."""
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    network = FAMILIES[family]().eval()
    with torch.no_grad():  # Fresh ones are so small that images hardly differ.
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.mul_(3)
    network.save_pretrained(folder, **saving)
    processor = next(make for prefix, make in _PROCESSORS.items() if family.startswith(prefix))
    processor().save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A network\n")
    if family in ("clip", "siglip"):
        _tokenizer(family).save_pretrained(folder)
    return folder


def _tokenizer(family: str) -> Any:
    """One of words. Both networks pool the token that CLIP finds and SigLIP has last: CLIP pads on the right."""
    words = tokenizers.Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    side = "right" if family == "clip" else "left"
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, padding_side=side, **special)


def network_of(folder: Path) -> Any:
    """A folder's network, as transformers has it."""
    return transformers.AutoModel.from_pretrained(folder).eval().requires_grad_(False)


def by_transformers(folder: Path, files: list[bytes]) -> NDArray[np.float32]:
    """The embeddings of images, by transformers alone, as its documentation says for each family."""
    pictures = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    inputs = transformers.AutoImageProcessor.from_pretrained(folder)(pictures, return_tensors="pt")
    return embedded(folder, inputs["pixel_values"])


def embedded(folder: Path, images: torch.Tensor) -> NDArray[np.float32]:
    """The embeddings of prepared images (N, 3, H, W), by transformers alone."""
    network = network_of(folder)
    with torch.inference_mode():
        if network.config.model_type in ("clip", "siglip"):
            found = network.get_image_features(images).pooler_output
        elif network.config.model_type == "vit":
            found = network(images).last_hidden_state[:, 0]
        else:
            found = network(images).pooler_output
    answer: NDArray[np.float32] = found.numpy()
    return answer


def texts_by_transformers(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    """The embeddings of texts, by transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")["input_ids"]
    network = network_of(folder)
    with torch.inference_mode():
        answer: NDArray[np.float32] = network.get_text_features(ids).pooler_output.numpy()
    return answer
