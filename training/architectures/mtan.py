"""MTAN: a multi-task attention network (Liu, Johns & Davison, CVPR 2019, arXiv:1803.10704, section 3).

All tasks share one trunk, and each has an attention module beside every block j. With p the block's maps before pooling, the
module masks them (equations 1 and 2):

    â_t = a_t ⊙ p,   a_t = σ(h_t(g_t([p; f(â_t of block j − 1)]))).

g_t and h_t are 1 × 1 convolutions of the task with batch normalisation. f is a 3 × 3 convolution that all tasks share; pooling
follows it. The paper's g_t sees the maps u of the first convolution of a block. Here a block has one convolution, so u = p.
"""

import torch
from torch import Tensor, nn
from torch.nn import ModuleList, functional

from training.architectures.layers import Layer, pool
from training.architectures.sharing import Architecture, Setting, SharedNetwork, apart, by_task, together


class Attention(nn.Module):
    """The attention modules of T tasks at one block.

    Args:
        before: the channels of f's maps; none at the first block.
    """

    def __init__(self, setting: Setting, before: int) -> None:
        super().__init__()
        self.g = Layer(setting.tasks, setting.width + before, setting.width, 1)
        self.h = Layer(setting.tasks, setting.width, setting.width, 1)
        self.f = Layer(1, setting.width, setting.width, 3)

    def forward(self, maps_TnCHW: Tensor, before_TnCHW: Tensor | None) -> Tensor:
        """Returns f(â), pooled, (T, n, C, H/2, W/2)."""
        seen = maps_TnCHW if before_TnCHW is None else torch.cat((maps_TnCHW, before_TnCHW), dim=2)
        mask_nTCHW = self.h.linear(functional.relu(self.g.linear(apart(seen)))).sigmoid()
        kept_TnCHW = apart(mask_nTCHW) * maps_TnCHW
        return by_task(self.f(together(kept_TnCHW))[:, 0], len(kept_TnCHW))


class Mtan(SharedNetwork):
    """One trunk with T attention modules at each block. The fully connected layers are shared."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.blocks = setting.convolutions(1)
        self.attention = ModuleList(Attention(setting, before) for before in (0, *[setting.width] * (setting.blocks - 1)))
        self.fully_connected = setting.fully_connected(1)

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) of what each task's attention kept."""
        shared_N1CHW, kept_TnCHW = together(images_Tn3HW), None
        for block, attention in zip(self.blocks, self.attention, strict=True):
            maps_N1CHW = functional.relu(block.linear(shared_N1CHW))
            kept_TnCHW = attention(by_task(maps_N1CHW[:, 0], len(images_Tn3HW)), kept_TnCHW)
            shared_N1CHW = pool(maps_N1CHW)
        assert kept_TnCHW is not None
        return by_task(self.fully_connected(together(kept_TnCHW)).flatten(1), len(images_Tn3HW))


ARCHITECTURE = Architecture("MTAN", "Liu, Johns & Davison, CVPR 2019", Mtan)
