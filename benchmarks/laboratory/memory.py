"""Peak memory of a piece of training: bytes of tensors, as PyTorch's allocators count them."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(work: Callable[[], object], device: torch.device) -> int:
    """Returns by how many bytes the tensors' memory rises at most while `work` runs.

    On a CPU that is the largest running sum of the allocations that the profiler sees.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    results = profiler.profiler.kineto_results
    changes = sorted((event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]")
    held = peak = 0
    for _, size in changes:
        held += size
        peak = max(peak, held)
    return peak
