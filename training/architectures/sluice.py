"""Sluice networks (Ruder, Bingel, Augenstein & Søgaard, AAAI 2019, arXiv:1705.08142).

Cross-stitch networks with three additions. The maps of every layer of every trunk are two subspaces, one for what is shared and
one for what is the task's own, and α mixes all 2T of them (equation 1). β_t mixes the outputs of the layers, so that a task may
stop early (equation 2). A penalty keeps the subspaces of a layer apart (equation 4): Σ ‖W₁ W₂ᵀ‖²_F, with W₁ and W₂ the filters
that make them.

α and β act on the blocks of maps. Maps of different sizes are max-pooled to the last block's size before β mixes them.
"""

import torch
from torch import Tensor, nn
from torch.nn import ParameterList, functional

from training.architectures.cross_stitch import stitch
from training.architectures.sharing import Architecture, Setting, SharedNetwork, own, together

_SAME = 0.9


class Sluice(SharedNetwork):
    """T trunks of two subspaces each.

    α starts at 0.9 for a subspace itself, and the others share the 0.1 left. β starts at 0.9 for the last block. Both are the
    `imbalanced` starts of the authors' code (sebastianruder/sluice-networks on GitHub).

    Args:
        strength: of the penalty, beside the mean of the tasks' losses.
    """

    def __init__(self, setting: Setting, strength: float = 1e-3) -> None:
        super().__init__(setting)
        self.tasks = setting.tasks
        self.strength = strength
        self.blocks = setting.convolutions(setting.tasks)
        self.fully_connected = setting.fully_connected(setting.tasks)
        spaces = 2 * setting.tasks
        alpha = torch.full((spaces, spaces), (1.0 - _SAME) / (spaces - 1)).fill_diagonal_(_SAME)
        self.alphas = ParameterList(nn.Parameter(alpha.clone()) for _ in self.blocks)
        beta = torch.full((setting.tasks, setting.blocks), (1.0 - _SAME) / max(setting.blocks - 1, 1))
        beta[:, -1] = _SAME
        self.beta = nn.Parameter(beta)

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) of each task's images by its own trunk, all trunks and all blocks mixed in."""
        maps_NTCHW, outputs = together(images_Tn3HW), []
        for block, alpha in zip(self.blocks, self.alphas, strict=True):
            maps_NTCHW = block(maps_NTCHW)
            spaces = torch.unflatten(maps_NTCHW, 2, (2, -1)).flatten(1, 2)
            maps_NTCHW = torch.unflatten(stitch(alpha, spaces), 1, (self.tasks, 2)).flatten(2, 3)
            outputs.append(maps_NTCHW)
        return own(self.fully_connected(self._mixed(outputs)).flatten(2))

    def _mixed(self, outputs: list[Tensor]) -> Tensor:
        """Returns Σ_l β_tl x_tl, at the last block's size."""
        last = outputs[-1]
        small = [functional.adaptive_max_pool2d(maps.flatten(1, 2), last.shape[3:]).view_as(last) for maps in outputs]
        return torch.einsum("tl,lntchw->ntchw", self.beta, torch.stack(small))

    def penalty(self) -> Tensor:
        """Returns the strength times Σ ‖W₁ W₂ᵀ‖²_F over blocks and tasks."""
        overlaps = []
        for block in self.blocks:
            filters_T2CP = torch.unflatten(block.convolution.weight.flatten(1), 0, (self.tasks, 2, -1))
            overlaps.append((filters_T2CP[:, 0] @ filters_T2CP[:, 1].transpose(1, 2)).square().sum())
        return self.strength * torch.stack(overlaps).sum()


ARCHITECTURE = Architecture("sluice", "Ruder et al., AAAI 2019", Sluice)
