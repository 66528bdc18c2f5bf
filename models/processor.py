"""The processor of this machine: its name, its instructions and the cores that this process may use."""

import os
import platform
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from models.quota import cpu_quota


def processor_name() -> str:
    """Returns the processor's model name, as far as the system tells it."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def available_cores() -> int:
    """Returns the number of cores that this process may use, a container's CPU quota included."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, round(quota)))


def instructions() -> str:
    """Returns the processor's instruction sets by Linux's names for them; an empty string on other systems."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(("flags", "Features")))
    return ""


def has_int8_instructions() -> bool:
    """Returns whether the processor multiplies 8-bit integers without saturating (VNNI on x86-64, dot product on Arm).

    Without them int8 is no faster, and on older x86 its sums saturate and cost accuracy.
    """
    return has_instructions({"avx512_vnni", "avx_vnni", "asimddp"})


def has_instructions(any_of: Set[str]) -> bool:
    """Returns whether the processor has any of these instruction sets, by Linux's names for them; False on other systems."""
    try:
        return not any_of.isdisjoint(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
