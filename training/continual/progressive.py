"""Progressive networks (Rusu et al., 2016, arXiv:1606.04671, section 2).

Each task gets a column of its own, and the columns before it never change again. Layer i of column k also reads layer i - 1 of
every earlier column through an adapter (equation 2): h_i = f(W_i h_{i-1} + U_i f(V_i [α_j h_{i-1}^{(j)}]_{j<k})). Here V is a 1x1
convolution down to the width of one column, U a 3x3 convolution, f batch normalisation (of the sum), ReLU and pooling, as in
Conv-4. The heads have no adapters.
"""

from collections.abc import Iterator, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones.conv4 import Conv4
from training.continual.learner import Augment, ContinualLearner, ContinualMethod, MakeTrunk, to_images

_LAYERS_OF_BLOCK = 4  # of Conv-4: convolution, batch normalisation, ReLU, pooling
_INITIAL_SCALE = 0.1


class Adapter(nn.Module):
    """The way by which a layer reads earlier columns: U f(V [α_j h_j]).

    Args:
        columns: the number of earlier columns.
        width: channels of a layer.
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.full((columns,), _INITIAL_SCALE))
        self.reduce = nn.Conv2d(columns * width, width, 1)
        self.read = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        scaled = torch.cat([scale * part for scale, part in zip(self.scales, maps, strict=True)], dim=1)
        return cast("Tensor", self.read(functional.relu(self.reduce(scaled))))


class Column(nn.Module):
    """Conv-4, whose blocks but the first also read earlier columns.

    Args:
        network: its own weights.
        earlier: the number of earlier columns.
    """

    def __init__(self, network: Conv4, earlier: int) -> None:
        super().__init__()
        layers = list(network.blocks)
        starts = range(0, len(layers), _LAYERS_OF_BLOCK)
        self.convolutions = nn.ModuleList(layers[start] for start in starts)
        self.rest = nn.ModuleList(nn.Sequential(*layers[start + 1 : start + _LAYERS_OF_BLOCK]) for start in starts)
        width = cast("nn.Conv2d", layers[0]).out_channels
        self.adapters = nn.ModuleList(Adapter(earlier, width) for _ in starts[1:]) if earlier else nn.ModuleList()

    def forward(self, x_N3HW: Tensor, earlier: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Returns the maps of every block, from those of every block of the earlier columns."""
        maps: list[Tensor] = []
        for number, (convolution, rest) in enumerate(zip(self.convolutions, self.rest, strict=True)):
            summed = convolution(maps[-1] if maps else x_N3HW)
            if number and earlier:
                summed = summed + self.adapters[number - 1]([column[number - 1] for column in earlier])
            maps.append(rest(summed))
        return maps


class ProgressiveColumns(ContinualLearner):
    """A column per task. `make_trunk` must return a Conv-4."""

    def __init__(self, make_trunk: MakeTrunk, augment: Augment = to_images) -> None:
        super().__init__(make_trunk, augment)
        self._make_trunk = make_trunk
        self.columns = nn.ModuleList()

    def begin(self, classes: int) -> None:
        """Fixes every column and head so far, and adds new ones."""
        self.requires_grad_(False)
        network = cast("Conv4", (self._make_trunk() if self.columns else self.trunk).network)
        self.columns.append(Column(network, len(self.columns)).to(self.trunk.mean.device).requires_grad_(True))
        super().begin(classes)

    def train(self, mode: bool = True) -> Self:
        """Sets training mode; earlier columns stay in evaluation, so that their batch normalisation never changes."""
        super().train(mode)
        for column in self._earlier():
            column.eval()
        return self

    def embed(self, images_N3HW: Tensor, task: int) -> Tensor:
        """Returns the last maps of the task's column, flattened, (N, D)."""
        x_N3HW = self.trunk.normalised(images_N3HW)
        maps: list[list[Tensor]] = []
        for column in list(self.columns)[: task + 1]:
            maps.append(column(x_N3HW, maps))
        return maps[task][-1].flatten(1)

    def remembered(self) -> int:
        """Returns the size of all columns but one."""
        return sum(value.nbytes for column in self._earlier() for value in column.state_dict().values())

    def _earlier(self) -> Iterator[nn.Module]:
        return iter(list(self.columns)[:-1])


METHOD = ContinualMethod("progressive", "Rusu et al. 2016", ProgressiveColumns)
