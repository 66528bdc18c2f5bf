"""From a PyTorch network to the files that serve: ONNX, its int8 version, TorchScript."""

import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.backbones import PixelBackbone
from models.preprocess import Pixels

_CALIBRATION_BATCH = 32


def to_onnx(network: PixelBackbone, example: Pixels) -> bytes:
    """The network as a self-contained ONNX file: input `pixels`, output `embeddings`, N dynamic, batch norm folded.

    Args:
        example: uint8 (N, H, W, 3), N at least 2; fixes H and W.
    """
    program = torch.onnx.export(
        network,
        (torch.from_numpy(example),),
        dynamo=True,
        input_names=["pixels"],
        output_names=["embeddings"],
        dynamic_shapes=({0: torch.export.Dim("N", min=1, max=1 << 20)},),
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    _strip_origins(model)
    onnx.checker.check_model(model)
    return cast("bytes", model.SerializeToString())


def _strip_origins(model: onnx.ModelProto) -> None:
    """Removes the exporter's notes on where each node came from: they hold this machine's file names."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def to_int8(model: bytes, calibration: Pixels) -> bytes:
    """Static quantisation to int8 (QDQ): weights per channel, activations by min-max over `calibration`, uint8 (N, H, W, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, name) for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(model)
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
        )
        return target.read_bytes()


def to_torchscript(network: PixelBackbone, example: Pixels) -> bytes:
    """The network as TorchScript, traced and frozen."""
    with torch.inference_mode(), warnings.catch_warnings():
        # PyTorch steers new code to torch.export; TorchScript remains the format that loads without Python code.
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        trace: Any = torch.jit.trace
        traced = torch.jit.freeze(trace(network, (torch.from_numpy(example),)))
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    return buffer.getvalue()


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: Pixels) -> None:
        self._batches: Iterator[Pixels] = (
            pixels[start : start + _CALIBRATION_BATCH] for start in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}
