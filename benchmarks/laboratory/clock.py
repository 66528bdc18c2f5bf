"""The seconds of training that contestants are given."""

import time

import torch


def clock(device: torch.device) -> float:
    """Returns seconds since some moment: on a CPU of processor time for each of PyTorch's threads, on a GPU by the clock.

    So other work on the same cores takes nothing from a contestant's budget.
    """
    return time.process_time() / torch.get_num_threads() if device.type == "cpu" else time.perf_counter()
