"""MMoE: a multi-gate mixture of experts (Ma, Zhao, Yi, Chen, Hong & Chi, KDD 2018).

All tasks share E experts f_i, and each has a gate of its own (equations 6 and 7):

    f^t(x) = Σ_i g^t(x)_i f_i(x),   g^t(x) = softmax(W_t x).

An expert is a trunk. A gate sees the image averaged to 4 × 4 pixels: each of its weights then has a whole region to learn from.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.architectures.sharing import Architecture, Setting, SharedNetwork, by_task, together

_GATE_SIDE = 4


class Mmoe(SharedNetwork):
    """E experts and T gates.

    Args:
        experts: E. The paper has 8; half as many make twice the steps in the same time.
    """

    def __init__(self, setting: Setting, experts: int = 4) -> None:
        super().__init__(setting)
        self.trunks = setting.trunk(experts)
        self.gates = nn.Parameter(torch.zeros(setting.tasks, 3 * _GATE_SIDE**2, experts))

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the mixture (T, n, D) by the gate of the image's task."""
        features_NED = self.trunks(together(images_Tn3HW)).flatten(2)
        return torch.einsum("tne,tned->tnd", self.gate(images_Tn3HW), by_task(features_NED, len(images_Tn3HW)))

    def gate(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the weights of the experts for each image, (T, n, E), which sum to one."""
        small_N3HW = functional.adaptive_avg_pool2d(images_Tn3HW.flatten(0, 1), _GATE_SIDE)
        return (by_task(small_N3HW.flatten(1), len(images_Tn3HW)) @ self.gates).softmax(dim=2)


ARCHITECTURE = Architecture("MMoE", "Ma et al., KDD 2018", Mmoe)
