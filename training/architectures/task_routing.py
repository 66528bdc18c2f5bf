"""Task routing (Strezoski, van Noord & Worring, ICCV 2019, arXiv:1903.12117, section 3).

All tasks share one trunk, and each uses a part of its channels. After every block a binary mask of the task, drawn once and never
learned, sets the other channels to zero. The masks overlap at random, so each pair of tasks shares some channels and not others.
"""

import torch
from torch import Tensor

from training.architectures.sharing import Architecture, Setting, SharedNetwork, by_task, of_images, together


class TaskRouting(SharedNetwork):
    """One trunk, with a mask for each task after each block.

    Args:
        left_out: the share of a block's channels that a task does without, the authors' σ; 0 is the shared trunk. Their code
            (gstrezoski/TaskRouting on GitHub, `routed_vgg.py`) has 0.5 unless told otherwise.
    """

    masks_LTC: Tensor

    def __init__(self, setting: Setting, left_out: float = 0.5) -> None:
        super().__init__(setting)
        self.blocks = setting.convolutions(1)
        self.fully_connected = setting.fully_connected(1)
        order_LTC = torch.rand(setting.blocks, setting.tasks, setting.width).argsort(dim=2)
        self.register_buffer("masks_LTC", (order_LTC >= round(left_out * setting.width)).float())

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) by the part of the trunk that is the task's."""
        maps_N1CHW = together(images_Tn3HW)
        for block, mask_TC in zip(self.blocks, self.masks_LTC, strict=True):
            maps_N1CHW = block(maps_N1CHW) * of_images(mask_TC, images_Tn3HW.shape[1])
        return by_task(self.fully_connected(maps_N1CHW).flatten(1), len(images_Tn3HW))


ARCHITECTURE = Architecture("task-routing", "Strezoski, van Noord & Worring, ICCV 2019", TaskRouting)
