"""Training and exports without what costs much and is not the point of a test."""

import io
import warnings
from typing import Any

import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from models.bundle import PIXELS
from training.calibration import temperatures, tuning
from training.export import bundle as exporting
from training.export import candidate
from training.export.graphs import EMBEDDINGS, finished
from training.importing.hub import text
from training.run import curves


def without_curves(patch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the epochs of a small run."""
    patch.setattr(curves, "draw", lambda *_: None)
    patch.setattr(curves, "log", lambda *_: None)


def few_episodes(patch: pytest.MonkeyPatch, card: int = 20, choice: int = 10) -> None:
    """Exports measure each line of the card on so many episodes, and choose the head options on `choice`."""
    patch.setattr(exporting, "_EPISODES", card)
    patch.setattr(tuning, "EPISODES", choice)
    patch.setattr(temperatures, "EPISODES", choice)


def without_int8(patch: pytest.MonkeyPatch) -> None:
    """Exports make no int8 file, as on a processor that cannot measure what it costs."""
    patch.setattr(exporting, "has_int8_instructions", lambda: False)


def with_the_older_exporter(patch: pytest.MonkeyPatch) -> None:
    """Exports convert networks to ONNX by PyTorch's older exporter, which takes a tenth of the time."""
    patch.setattr(candidate, "to_onnx", converted)
    patch.setattr(text, "to_onnx", converted)


def converted(network: nn.Module, example: NDArray[Any], takes: str = PIXELS) -> bytes:
    """Does what `training.export.graphs.to_onnx` does, by PyTorch's older exporter."""
    buffer = io.BytesIO()
    export: Any = torch.onnx.export  # Its annotations leave out what the older exporter takes.
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # On its own age.
        export(
            network,
            (torch.from_numpy(example),),
            buffer,
            dynamo=False,
            opset_version=18,
            input_names=[takes],
            output_names=[EMBEDDINGS],
            dynamic_axes={takes: {0: "N"}, EMBEDDINGS: {0: "N"}},
        )
    return finished(onnx.load_from_string(buffer.getvalue()))
