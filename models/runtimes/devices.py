"""PyTorch and the devices that it offers, where PyTorch is installed."""

from typing import Any

from models.processor import processor_name
from models.runtimes.kinds import EngineError


def cuda_device() -> Any:
    """Returns the `torch.device` of the GPU.

    Raises:
        EngineError: PyTorch or a GPU is missing.
    """
    torch = torch_for("on a CUDA device")
    if not torch.cuda.is_available():
        raise EngineError("there is no CUDA device that PyTorch can use")
    return torch.device("cuda")


def torch_has_cuda() -> bool:
    """Returns whether PyTorch is there and can use a GPU. It takes seconds where PyTorch is there."""
    try:
        cuda_device()
    except EngineError:
        return False
    return True


def gpu_name() -> str:
    """Returns what `device_name` does of the GPU; no more than that it is one where PyTorch is missing."""
    try:
        return device_name(cuda_device())
    except EngineError:
        return "a GPU"


def device_name(device: Any) -> str:
    """Returns the name of a `torch.device`'s hardware, with the release of PyTorch."""
    torch = torch_for("on a device")
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return f"{hardware}, PyTorch {torch.__version__}"


def torch_for(use: str) -> Any:
    """Returns the module `torch`, which a use needs.

    Raises:
        EngineError: PyTorch is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineError(f"running {use} needs PyTorch: pip install 'headstart-server[gpu]'") from error
    return torch
