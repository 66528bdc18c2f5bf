"""Candidates: backbones on their way into a bundle. An export needs nothing else of a network."""

from typing import Protocol

import torch

from models.backbones import PixelBackbone
from models.bundle import ONNX, TORCHSCRIPT
from models.heads.head import Float32
from models.images.preprocess import Pixels
from training.export.graphs import to_onnx, to_torchscript


class Candidate(Protocol):
    """A backbone on its way into a bundle; `name` says in messages what its files must agree with."""

    name: str

    def graphs(self, example: Pixels) -> dict[str, bytes]:
        """Returns `backbone.onnx`, and `backbone.ts` where there is a PyTorch network; `example` has at least 2 images."""

    def embed(self, pixels: Pixels) -> Float32:
        """Returns the embeddings that every file must compute: uint8 (N, H, W, 3) -> float32 (N, D)."""


class Eager:
    """A PyTorch network as a candidate."""

    name = "eager PyTorch"

    def __init__(self, network: PixelBackbone) -> None:
        self._network = network.eval()

    def graphs(self, example: Pixels) -> dict[str, bytes]:
        return {ONNX: to_onnx(self._network, example), TORCHSCRIPT: to_torchscript(self._network, example)}

    @torch.inference_mode()
    def embed(self, pixels: Pixels) -> Float32:
        embeddings: Float32 = self._network(torch.from_numpy(pixels)).numpy()
        return embeddings
