"""The text tower of CLIP and SigLIP as files of a bundle: `text.onnx` and `tokenizer.json`.

Both networks were trained on texts of a fixed length without a mask: CLIP attends to earlier tokens alone and takes the first
end-of-text token, SigLIP sees the padding too. So `input_ids` is all that they need.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.backbones.weights import one_line
from models.bundle import TEXT, TOKENIZER
from models.manifest import TextTower
from training.export.bundle import PARITY_TOLERANCE, ExportError
from training.export.graphs import run_onnx, to_onnx
from training.importing.hub.folder import TOKENIZER_CONFIG, HubFolder, read_json

INPUT_IDS = "input_ids"
_BATCHES = (1, 2, 5)


@dataclass(frozen=True)
class _Kind:
    """A kind of text tower; `lowercase`: it was trained on texts in lower case, which its tokenizer may not ensure."""

    template: str
    lowercase: bool


# CLIP's own template (Radford et al., 2021), and the one that SigLIP's authors evaluate with in transformers.
_KINDS = {"clip": _Kind("a photo of a {}", lowercase=False), "siglip": _Kind("This is a photo of {}.", lowercase=True)}


class TextEmbedder(nn.Module):
    """Maps token numbers int64 (N, L) to embeddings float32 (N, D), in the space of the image embeddings."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.text_model = network.text_model
        self.projection = getattr(network, "text_projection", None)  # CLIP's; SigLIP's is within.

    def forward(self, ids_NL: Tensor) -> Tensor:
        pooled: Tensor = self.text_model(ids_NL).pooler_output
        return pooled if self.projection is None else self.projection(pooled)


def text_tower(folder: HubFolder, network: Any) -> tuple[TextTower, dict[str, bytes]]:
    """Returns the description of a folder's text tower, and its files by name.

    Args:
        network: of transformers, `CLIPModel` or `SiglipModel`.

    Raises:
        ExportError: the tokenizer is not the network's, or the file computes something else than the network.
    """
    kind, length = _KINDS[folder.family], int(network.config.text_config.max_position_embeddings)
    tokenizer = _tokenizer(folder, length, kind.lowercase)
    known, vocabulary = int(network.config.text_config.vocab_size), tokenizer.get_vocab_size()
    if vocabulary > known:
        raise ExportError(f"{folder.path / TOKENIZER} has {vocabulary} tokens, and the text network knows {known}")
    embedder = TextEmbedder(network).eval()
    words = np.array([tokenizer.encode(kind.template.format(word)).ids for word in ("cat", "dog")], dtype=np.int64)
    graph = to_onnx(embedder, words, INPUT_IDS)
    _check_parity(graph, embedder, words, known)
    described = TextTower(
        file=TEXT,
        tokenizer=TOKENIZER,
        length=length,
        template=kind.template,
        scale=float(network.logit_scale.detach().exp()),
    )
    return described, {TEXT: graph, TOKENIZER: tokenizer.to_str().encode()}


def _tokenizer(folder: HubFolder, length: int, lowercase: bool) -> Any:
    """Returns the tokenizer, set to answer with `length` tokens."""
    from tokenizers import Tokenizer, normalizers  # It comes with transformers.

    path = folder.path / TOKENIZER
    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception as error:  # It raises Exception itself.
        raise ExportError(f"{path} cannot be read: {one_line(error)}") from error
    config = folder.path / TOKENIZER_CONFIG
    settings = read_json(config) if config.is_file() else {}
    token = settings.get("pad_token") or "<|endoftext|>"  # CLIP's, which some folders leave to its class
    token = token.get("content") if isinstance(token, dict) else token
    pad_id = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if pad_id is None:
        raise ExportError(
            f"{folder.path} does not say which token fills a text up: {config.name} names no pad_token of {TOKENIZER}"
        )
    if lowercase:
        own = tokenizer.normalizer
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *([own] if own else [])])
    tokenizer.enable_truncation(length)
    side = "left" if settings.get("padding_side") == "left" else "right"
    tokenizer.enable_padding(direction=side, pad_id=pad_id, pad_token=token, length=length)
    return tokenizer


def _check_parity(graph: bytes, embedder: TextEmbedder, words: np.ndarray[Any, Any], vocabulary: int) -> None:
    """Compares the file with the network, on two real texts and random ones, in batches of several sizes."""
    rng = np.random.default_rng(0)
    ids = np.concatenate([words, rng.integers(0, vocabulary, (max(_BATCHES) - len(words), words.shape[1]))])
    with torch.inference_mode():
        wanted = embedder(torch.from_numpy(ids)).numpy()
    run = run_onnx(graph)
    for count in _BATCHES:
        error = float(np.linalg.norm(run(ids[:count])[0] - wanted[:count]) / np.linalg.norm(wanted[:count]))
        if not error <= PARITY_TOLERANCE:  # NaN fails too.
            raise ExportError(f"{TEXT} disagrees with eager PyTorch: relative error {error:.2g} > {PARITY_TOLERANCE:g}")
