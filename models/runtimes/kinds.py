"""The kinds of engine, and the file of a bundle that each runs."""

from typing import Literal

from models.bundle import ONNX, ONNX_FP16, ONNX_INT8, TORCHSCRIPT

EngineKind = Literal[
    "auto",
    "onnx",
    "onnx-int8",
    "onnx-fp16",
    "onnx-cuda",
    "onnx-fp16-cuda",
    "onnx-tensorrt",
    "onnx-fp16-tensorrt",
    "torchscript",
    "torchscript-cuda",
]


class EngineError(Exception):
    """An engine that this machine or this bundle cannot offer.

    Attributes:
        problem: the message without a library's own words, which may name private paths.
    """

    def __init__(self, problem: str, said: Exception | None = None) -> None:
        super().__init__(f"{problem}: {said}" if said else problem)
        self.problem = problem


def file_of(kind: EngineKind) -> str:
    """Returns the name of the bundle's file that an engine of that kind runs."""
    if kind.startswith("torchscript"):
        return TORCHSCRIPT
    if "-fp16" in kind:
        return ONNX_FP16
    return ONNX_INT8 if kind == "onnx-int8" else ONNX


def on_cuda(kind: EngineKind) -> bool:
    """Returns whether engines of that kind run on a GPU."""
    return kind.endswith("-cuda") or on_tensorrt(kind)


def on_tensorrt(kind: EngineKind) -> bool:
    """Returns whether TensorRT runs engines of that kind."""
    return kind.endswith("-tensorrt")
