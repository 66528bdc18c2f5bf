"""Cross-stitch networks (Misra, Shrivastava, Gupta & Hebert, CVPR 2016, arXiv:1604.03539, section 3).

Each task has a trunk. After every layer a cross-stitch unit replaces the maps x_t of trunk t by a learned mixture of all trunks'
maps of the same image (equation 1):

    x̃_t = Σ_s α_ts x_s.

So an image goes through all T trunks. The paper's tasks have one set of images and read all of them; where a task has images of
its own, its head reads one. Then a step costs T times that of T networks apart.
"""

import torch
from torch import Tensor, nn
from torch.nn import ParameterList

from training.architectures.sharing import Architecture, Setting, SharedNetwork, own, together

_SAME = 0.9


class CrossStitch(SharedNetwork):
    """T trunks and a unit (T, T) after each layer. α starts at 0.9 for a task's own trunk, and the others share the 0.1 left."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.trunks = setting.trunk(setting.tasks)
        others = (1.0 - _SAME) / max(setting.tasks - 1, 1)
        start = torch.full((setting.tasks, setting.tasks), others).fill_diagonal_(_SAME)
        self.units = ParameterList(nn.Parameter(start.clone()) for _ in self.trunks)

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) of each task's images by its own trunk, all trunks mixed in."""
        maps_NTCHW = together(images_Tn3HW)
        for layer, unit_TT in zip(self.trunks, self.units, strict=True):
            maps_NTCHW = stitch(unit_TT, layer(maps_NTCHW))
        return own(maps_NTCHW.flatten(2))


def stitch(unit_SS: Tensor, maps_NSCHW: Tensor) -> Tensor:
    """Returns Σ_s α_ts x_s for every t, (N, S, C, H, W)."""
    return (unit_SS @ maps_NSCHW.flatten(2)).view_as(maps_NSCHW)


ARCHITECTURE = Architecture("cross-stitch", "Misra et al., CVPR 2016", CrossStitch)
