"""Core ML on any system: the operations of a saved package, in NumPy and PyTorch, as Apple's reference of MIL defines them.

It stands in for the framework, which only macOS has. It shows what the file says, and not how Apple's programs round it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.models import MLModel
from PIL import Image
from torch.nn import functional

Inputs = Mapping[str, Any]


class Evaluated:
    """A package as a function, as `MLModel` is where Core ML runs.

    Args:
        package: its folder.
    """

    def __init__(self, package: Path) -> None:
        model = MLModel(str(package), skip_model_load=True)
        spec = model.get_spec()
        main = load(spec, spec.specificationVersion, model.weights_dir).functions["main"]
        (self._image,) = (each.name for each in spec.description.input)
        self._steps = [operation for operation in main.operations if operation.op_type != "const"]
        self._outputs = [each.name for each in main.outputs]

    def predict(self, given: Mapping[str, Image.Image]) -> dict[str, Any]:
        """Returns the outputs for an image of the package's size, as `MLModel.predict` does."""
        pixels = np.asarray(given[self._image], np.float32).transpose(2, 0, 1)[None]
        values: dict[str, Any] = {self._image: torch.from_numpy(pixels.copy())}
        for step in self._steps:
            inputs = {key: _given(each, values) for key, each in step.inputs.items() if each is not None}
            made = _OPERATIONS[step.op_type](inputs)
            for output, value in zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=True):
                values[output.name] = value
        found = {name: values[name] for name in self._outputs}
        return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in found.items()}


def _given(variable: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(variable, list | tuple):
        return [_given(each, values) for each in variable]
    if variable.name in values:
        return values[variable.name]
    constant = variable.val
    return torch.from_numpy(np.array(constant)) if isinstance(constant, np.ndarray | np.floating) else constant


def _conv(given: Inputs) -> torch.Tensor:
    top, bottom, left, right = (int(each) for each in given["pad"]) if given["pad_type"] == "custom" else (0, 0, 0, 0)
    assert given["pad_type"] in {"custom", "valid"}
    maps = functional.pad(given["x"], (left, right, top, bottom))
    strides, holes = ([int(each) for each in given[name]] for name in ("strides", "dilations"))
    return functional.conv2d(maps, given["weight"], given.get("bias"), strides, 0, holes, int(given["groups"]))


def _pad(given: Inputs) -> torch.Tensor:
    assert given["mode"] == "constant"
    amounts = [int(each) for each in given["pad"]][-4:]
    return functional.pad(given["x"], (*amounts[2:], *amounts[:2]), value=float(given["constant_val"]))


def _pool(given: Inputs) -> torch.Tensor:
    assert not np.any([int(each) for each in given["pad"]]) or given["pad_type"] == "valid"
    sizes, strides = ([int(each) for each in given[name]] for name in ("kernel_sizes", "strides"))
    pooled: torch.Tensor = functional.max_pool2d(given["x"], sizes, strides)
    return pooled


def _reduced(function: Callable[..., torch.Tensor]) -> Callable[[Inputs], torch.Tensor]:
    return lambda given: function(given["x"], [int(each) for each in given["axes"]], bool(given["keep_dims"]))


def _two(function: Callable[..., Any]) -> Callable[[Inputs], Any]:
    return lambda given: function(torch.as_tensor(given["x"]), torch.as_tensor(given["y"]))


def _alone(function: Callable[..., Any]) -> Callable[[Inputs], Any]:
    return lambda given: function(given["x"])


def _slice(given: Inputs) -> torch.Tensor:
    x, ends = given["x"], list[slice]()
    masks = [given.get(name) for name in ("begin_mask", "end_mask")]
    for axis in range(x.ndim):
        begin, end = (
            None if mask is not None and bool(mask[axis]) else int(given[name][axis])
            for name, mask in zip(("begin", "end"), masks, strict=True)
        )
        ends.append(slice(begin, end))
    sliced: torch.Tensor = x[tuple(ends)]
    return sliced


def _classify(given: Inputs) -> tuple[str, dict[str, float]]:
    shares = given["probabilities"].reshape(-1).tolist()
    labels = [str(each) for each in given["classes"]]
    return labels[int(np.argmax(shares))], dict(zip(labels, shares, strict=True))


_OPERATIONS: Mapping[str, Callable[[Inputs], Any]] = {
    "add": _two(torch.add),
    "cast": lambda given: given["x"].to({"fp32": torch.float32, "bool": torch.bool, "int32": torch.int32}[given["dtype"]]),
    "classify": _classify,
    "clip": lambda given: torch.clamp(given["x"], float(given["alpha"]), float(given["beta"])),
    "conv": _conv,
    "exp": _alone(torch.exp),
    "identity": _alone(lambda value: value),
    "leaky_relu": lambda given: functional.leaky_relu(given["x"], float(given["alpha"])),
    "less": _two(torch.lt),
    "less_equal": _two(torch.le),
    "linear": lambda given: functional.linear(given["x"], given["weight"], given.get("bias")),
    "log": lambda given: torch.log(given["x"] + float(given["epsilon"])),
    "matmul": lambda given: given["x"] @ given["y"],
    "max_pool": _pool,
    "maximum": _two(torch.maximum),
    "minimum": _two(torch.minimum),
    "mul": _two(torch.mul),
    "pad": _pad,
    "real_div": _two(torch.div),
    "reduce_max": _reduced(torch.amax),
    "reduce_mean": _reduced(torch.mean),
    "reduce_sum": _reduced(torch.sum),
    "relu6": _alone(functional.relu6),
    "round": _alone(torch.round),
    "select": lambda given: torch.where(given["cond"], torch.as_tensor(given["a"]), torch.as_tensor(given["b"])),
    "sigmoid": _alone(torch.sigmoid),
    "slice_by_index": _slice,
    "softmax": lambda given: torch.softmax(given["x"], int(given["axis"])),
    "softplus": _alone(functional.softplus),
    "sqrt": _alone(torch.sqrt),
    "squeeze": lambda given: given["x"].squeeze(tuple(int(each) for each in given["axes"])),
    "sub": _two(torch.sub),
}
