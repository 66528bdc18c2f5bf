"""FiLM: a shared trunk that a task scales and shifts (Perez, Strub, de Vries, Dumoulin & Courville, AAAI 2018,
arXiv:1709.07871).

Channel c of every layer, after normalisation and before the rectifier, becomes γ_tc x_c + β_tc (equation 2). The paper generates
γ and β by a network that reads a question. Here the condition is the task's number, so a table has them.
"""

import torch
from torch import Tensor, nn
from torch.nn import ParameterList

from training.architectures.sharing import Architecture, Setting, SharedNetwork, by_task, of_images, together


class Film(SharedNetwork):
    """One trunk, with γ and β of each task for every layer. They start as the shared trunk: γ = 1 and β = 0."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.trunk = setting.trunk(1)
        units = (*[setting.width] * setting.blocks, *setting.hidden)
        self.scales = ParameterList(nn.Parameter(torch.ones(setting.tasks, count)) for count in units)
        self.shifts = ParameterList(nn.Parameter(torch.zeros(setting.tasks, count)) for count in units)

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) by the trunk as the task has modulated it."""
        count = images_Tn3HW.shape[1]
        maps_N1CHW = together(images_Tn3HW)
        for layer, scale_TC, shift_TC in zip(self.trunk, self.scales, self.shifts, strict=True):
            linear = layer.linear(maps_N1CHW)
            maps_N1CHW = layer.finish(of_images(scale_TC, count) * linear + of_images(shift_TC, count))
        return by_task(maps_N1CHW.flatten(1), len(images_Tn3HW))


ARCHITECTURE = Architecture("FiLM", "Perez et al., AAAI 2018", Film)
