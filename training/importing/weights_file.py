"""Files given as a network that hold none: weights alone, or a pickled program."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from training.export.graphs import GraphError

_PICKLE = b"\x80"  # how protocol 2, which PyTorch writes, begins


def refuse_weights(path: Path) -> None:
    """Refuses a file that holds weights without their network, with advice; any other file passes.

    Raises:
        GraphError: it is a state dict or a checkpoint, or a pickle that only its own Python code can read.
    """
    if path.suffix == ".safetensors":
        raise GraphError(_weights(path))
    if not _is_pickled(path):
        return
    try:
        # Nothing but tensors and containers is unpickled, so no code of the file runs.
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types.
        raise GraphError(
            f"{path.name} is a pickled PyTorch object, which is not opened, since that may run code; "
            "save the network as TorchScript or ONNX, or its state_dict()"
        ) from error
    if isinstance(found, dict):
        raise GraphError(_weights(path))
    raise GraphError(f"{path.name} holds a {type(found).__name__} and no network; give TorchScript or ONNX")


def _weights(path: Path) -> str:
    return (
        f"{path.name} holds weights without their network; name the network: headstart-train import timm:NAME --weights {path}"
        ", or torchvision:NAME"
    )


def _is_pickled(path: Path) -> bool:
    """Returns whether PyTorch's `save` wrote the file; TorchScript is a zip as well, with code in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        with path.open("rb") as file:
            return file.read(1) == _PICKLE
    ends = {member.partition("/")[2] for member in members}
    return "data.pkl" in ends and not any(end.startswith("code/") or end == "constants.pkl" for end in ends)
