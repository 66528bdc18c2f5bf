"""Devices to train on: choosing one, its abilities and its name."""

import ctypes
import platform

import torch

from models.processor import has_instructions

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


class DeviceError(Exception):
    """The device to train on is missing, or cannot do what was asked."""


def pick_device(name: str) -> torch.device:
    """Returns the device of that name; `auto` is CUDA where it is available, else the CPU.

    Raises:
        DeviceError: it cannot be used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name} cannot be used: {str(error).splitlines()[0]}") from error
    return torch.device(name)


def has_bfloat16(device: torch.device) -> bool:
    """Returns whether the device multiplies bfloat16 matrices in hardware. Without that, they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_instructions({"amx_bf16", "avx512_bf16", "bf16"})


def describe(device: torch.device, count: int) -> str:
    """Returns the device's name for model cards: `2 x NVIDIA H200`, or `x86_64 CPU, 2 threads`."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return name if count == 1 else f"{count} x {name}"
    return f"{platform.machine()} CPU, {count * torch.get_num_threads()} threads"


def keep_freed_memory() -> None:
    """Lets this process keep the memory that it frees, on Linux with glibc; elsewhere nothing changes.

    By default glibc maps each large block from the system and returns it once freed. Then every step of training on a CPU gets
    new pages, which the system has to fill with zeros first.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
