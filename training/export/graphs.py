"""Converts a PyTorch network to the files that serve: ONNX, its int8 and float16 versions, TorchScript."""

import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from models.backbones import PixelBackbone
from models.bundle import PIXELS
from models.images.preprocess import Pixels
from models.processor import available_cores

EMBEDDINGS = "embeddings"

_CALIBRATION_BATCH = 32


class GraphError(Exception):
    """A graph that cannot be read, run or converted; the message says why."""


def to_onnx(network: nn.Module, example: NDArray[Any], takes: str = PIXELS) -> bytes:
    """Returns the network as a self-contained ONNX file: output `embeddings`, N dynamic, batch norm folded.

    Args:
        example: for a backbone uint8 (N, H, W, 3), N at least 2; fixes every size but N.
        takes: the name of the input.
    """
    program = torch.onnx.export(
        network,
        (torch.from_numpy(example),),
        dynamo=True,
        input_names=[takes],
        output_names=[EMBEDDINGS],
        dynamic_shapes=({0: torch.export.Dim("N", min=1, max=1 << 20)},),
        verbose=False,
    )
    assert program is not None
    return finished(program.model_proto)


def finished(model: onnx.ModelProto) -> bytes:
    """Returns the model as a checked file. It drops the exporter's notes on the origin of each node, which hold file names.

    Raises:
        onnx.checker.ValidationError: it is no valid model.
    """
    graph = model.graph
    # The notes on values between nodes can be derived again, and may hold an outdated batch size.
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model)
    return cast("bytes", model.SerializeToString())


def run_onnx(model: bytes) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    """Returns a function that runs a model of one input in ONNX Runtime: from that input to every output.

    Raises:
        GraphError: ONNX Runtime cannot load it or, when called, cannot run it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base but Exception.
        raise GraphError(f"ONNX Runtime cannot load it: {first_line(error)}") from error
    name = session.get_inputs()[0].name

    def run(values: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            return [np.asarray(output) for output in session.run(None, {name: values})]
        except Exception as error:  # As above.
            raise GraphError(f"ONNX Runtime cannot run it: {first_line(error)}") from error

    return run


def first_line(error: Exception) -> str:
    """Returns the first line of an error, for libraries that write pages."""
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)


def to_int8(model: bytes, calibration: Pixels) -> bytes:
    """Quantises a model to int8 statically (QDQ) and returns it.

    Weights are quantised per channel, activations by min-max over `calibration`, uint8 (N, H, W, 3).

    A linear layer at the end stays float32. It takes a hundredth of the time. In int8, the widest direction would set the scale
    of all, although heads weigh them alike.

    Raises:
        GraphError: the quantiser cannot.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, name) for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(model)
        try:
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                target,
                _Batches(calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=_last_products(onnx.load(prepared)),
            )
        except Exception as error:  # A foreign graph can make it raise anything.
            raise GraphError(f"it cannot be quantised: {first_line(error)}") from error
        return target.read_bytes()


def _last_products(model: onnx.ModelProto) -> list[str]:
    """Returns the names of the matrix products that give the graph's outputs."""
    outputs = {output.name for output in model.graph.output}
    return [node.name for node in model.graph.node if node.op_type in ("MatMul", "Gemm") and outputs & set(node.output)]


def to_float16(model: bytes) -> bytes:
    """Converts weights and arithmetic of a float32 model to float16 and returns it. Pixels stay uint8, embeddings float32.

    Raises:
        GraphError: the converter cannot.
    """
    # Its package puts a folder of its own on Python's path, so it is imported only when needed.
    from onnxruntime.transformers.onnx_model import OnnxModel

    try:
        half = OnnxModel(onnx.load_from_string(model))
        half.convert_float_to_float16(use_symbolic_shape_infer=False, keep_io_types=True)
        half.topological_sort()
        return finished(half.model)
    except Exception as error:  # A foreign graph can make it raise anything.
        raise GraphError(f"it cannot be converted to float16: {first_line(error)}") from error


def to_torchscript(network: PixelBackbone, example: Pixels) -> bytes:
    """Returns the network as TorchScript, traced and frozen."""
    with torch.inference_mode(), warnings.catch_warnings():
        # PyTorch steers new code to torch.export; TorchScript remains the format that loads without Python code.
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        # The trace freezes Python branches. The export checks the traced network on other batches.
        jit: Any = torch.jit
        warnings.simplefilter("ignore", category=jit.TracerWarning)
        traced = jit.freeze(jit.trace(network, (torch.from_numpy(example),)))
        buffer = io.BytesIO()
        jit.save(traced, buffer)
    return buffer.getvalue()


def scripted_to_onnx(module: Any, example: torch.Tensor) -> onnx.ModelProto:
    """Converts a TorchScript module to an ONNX model, N dynamic, with PyTorch's older exporter. The newer one takes Python code
    only.

    Raises:
        GraphError: PyTorch cannot.
    """
    buffer = io.BytesIO()
    export: Any = torch.onnx.export  # Its annotations leave out what the older exporter takes.
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # On tracing and on its own age.
            export(
                module,
                (example,),
                buffer,
                dynamo=False,
                opset_version=18,
                input_names=["images"],
                output_names=[EMBEDDINGS],
                dynamic_axes={"images": {0: "N"}, EMBEDDINGS: {0: "N"}},
            )
        return onnx.load_from_string(buffer.getvalue())
    except Exception as error:  # It raises many types.
        raise GraphError(f"PyTorch cannot convert it to ONNX, which a bundle needs: {first_line(error)}; give ONNX") from error


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: Pixels) -> None:
        self._batches: Iterator[Pixels] = (
            pixels[start : start + _CALIBRATION_BATCH] for start in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._batches, None)
        return None if batch is None else {PIXELS: batch}
