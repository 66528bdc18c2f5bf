"""Conditioning by concatenation: a shared trunk that is told the task (Dumoulin et al., "Feature-wise transformations", Distill
2018).

The task's one-hot code z, as constant maps, is appended to the input of every layer. A layer W [x; z] = W_x x + W_z z then has a
bias for each task, so concatenation is FiLM with no scaling, before normalisation instead of after it.
"""

import torch
from torch import Tensor

from training.architectures.sharing import Architecture, Setting, SharedNetwork, by_task, of_images, together


class Concatenation(SharedNetwork):
    """One trunk whose layers have T further channels of input."""

    codes_TT: Tensor

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.trunk = setting.trunk(1, further_inputs=setting.tasks)
        self.register_buffer("codes_TT", torch.eye(setting.tasks), persistent=False)

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) by the trunk as the task has conditioned it."""
        maps_N1CHW = together(images_Tn3HW)
        codes_N1T11 = of_images(self.codes_TT, images_Tn3HW.shape[1])
        for layer in self.trunk:
            codes_N1THW = codes_N1T11.expand(-1, -1, -1, *maps_N1CHW.shape[3:])
            maps_N1CHW = layer(torch.cat((maps_N1CHW, codes_N1THW), dim=2))
        return by_task(maps_N1CHW.flatten(1), len(images_Tn3HW))


ARCHITECTURE = Architecture("concatenation", "Dumoulin et al., Distill 2018", Concatenation)
