"""Networks as others make them: TorchScript, and ONNX graphs made by hand."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

SIZE = 16


class Small(nn.Module):
    """Maps images (N, 3, H, W) to (N, width)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, width, 3, stride=2)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.convolution(x)).relu()
        return maps.mean(dim=(2, 3))


def scripted(network: nn.Module, path: Path, how: str, size: int = SIZE) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out, and says so.
        jit: Any = torch.jit
        compiled = jit.script(network) if how == "script" else jit.trace(network, torch.rand(2, 3, size, size))
        jit.save(compiled, str(path))


Shape = Sequence[str | int | None]
Outputs = Mapping[str, tuple[int, Shape]]


def graph(
    *operators: onnx.NodeProto,
    takes: tuple[int, Shape] = (TensorProto.FLOAT, ["N", 3, SIZE, SIZE]),
    gives: Outputs | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    """A model from `images` to `embeddings`, made by hand."""
    outputs = gives or {"embeddings": (TensorProto.FLOAT, ["N", 3])}
    inputs = [helper.make_tensor_value_info("images", *takes)]
    described = helper.make_graph(
        list(operators), "made by hand", inputs, [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()]
    )
    return helper.make_model(described, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def pooled(target: str) -> list[onnx.NodeProto]:
    return [helper.make_node("GlobalAveragePool", ["images"], [target])]


def constant(name: str, values: list[int]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, [len(values)], values))


def with_fixed_batch(shape: list[int]) -> onnx.ModelProto:
    reshape = [constant("shape", shape), helper.make_node("Reshape", ["maps", "shape"], ["embeddings"])]
    takes, gives = (TensorProto.FLOAT, [1, 3, SIZE, SIZE]), {"embeddings": (TensorProto.FLOAT, [1, 3])}
    return graph(*pooled("maps"), *reshape, takes=takes, gives=gives)


def with_external_data() -> onnx.ModelProto:
    model = graph(*pooled("embeddings"))
    tensor = model.graph.initializer.add(name="weights", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return model
