"""Training in turns: what every contestant of every experiment has in common. The learning rate follows the shape of the
project's recipe (linear warm-up, cosine to zero) over the budget of seconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from benchmarks.laboratory.clock import clock
from benchmarks.laboratory.memory import peak_memory
from training.run.recipes import RECIPES

RECIPE = RECIPES["quick"]
ADAM_RATE = 1e-3


class Training(ABC):
    """One method in training.

    Args:
        modules: everything that is trained or that remembers, by its name in `state`.

    Attributes:
        seconds: spent in training so far, evaluation apart; see `benchmarks.laboratory.clock`.
        steps: of the optimiser.
        images: seen; one that an inner loop visits five times counts once.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, seed: int, device: torch.device
    ) -> None:
        self._modules = modules
        self._optimizer = optimizer
        self._seed = seed
        self._device = device
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self.seconds = 0.0
        self.steps = 0
        self.images = 0

    def train_until(self, seconds: float, budget: float) -> None:
        """Trains until `seconds` have been spent, on a schedule that ends at `budget`.

        The random numbers of a turn depend on the step that it begins with. Neither other methods nor a restart change them.
        """
        for module in self._modules.values():
            module.train()
        torch.manual_seed(self._seed + self.steps)
        started = clock(self._device) - self.seconds
        while (spent := clock(self._device) - started) < seconds:
            self.step(spent / budget)
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds = clock(self._device) - started

    def step(self, progress: float) -> None:
        """Makes one step of the optimiser, when the share `progress` of the budget is spent."""
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * RECIPE.rate(progress) / RECIPE.learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        self._backward()
        self._optimizer.step()
        self.steps += 1

    def rehearse(self, kept: dict[str, Any] | None) -> int:
        """Makes a step, untimed and undone, since libraries choose their kernels at the first. Goes on from what was kept.

        Returns:
            the peak memory of a step in bytes, where nothing was kept.
        """
        state = deepcopy(self.state()) if kept is None else kept
        self.step(0.0)
        memory = peak_memory(lambda: self.step(0.0), self._device) if kept is None else 0
        self.restore(state)
        return memory

    def state(self) -> dict[str, Any]:
        """Returns everything that `restore` needs, on the training device."""
        return {
            **{name: module.state_dict() for name, module in self._modules.items()},
            "optimizer": self._optimizer.state_dict(),
            "seconds": self.seconds,
            "steps": self.steps,
            "images": self.images,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes back to a state."""
        for name, module in self._modules.items():
            module.load_state_dict(state[name])
        self._optimizer.load_state_dict(state["optimizer"])
        self.seconds, self.steps, self.images = state["seconds"], state["steps"], state["images"]

    def prepare_evaluation(self) -> None:
        """Makes the network ready for use."""
        for module in self._modules.values():
            module.eval()

    @abstractmethod
    def _backward(self) -> None:
        """Leaves the gradients of the next batch."""
