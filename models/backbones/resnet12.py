"""ResNet-12, the usual backbone of few-shot learning.

Four residual blocks of three 3x3 convolutions, each block halving the resolution, then global average pooling (Oreshkin et al.,
TADAM, NeurIPS 2018). The widths 64-160-320-640 are those of Lee et al. (MetaOptNet, CVPR 2019).
DropBlock (Ghiasi et al., NeurIPS 2018) regularises the last two blocks in training only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

NEGATIVE_SLOPE = 0.1


class DropBlock(nn.Module):
    """Zeroes square regions of each channel in training and rescales what is left; the identity in evaluation.

    Args:
        rate: share of units dropped, 0 to 1.
        size: side of the squares, in units of the feature map.
    """

    def __init__(self, rate: float, size: int) -> None:
        super().__init__()
        self.rate = rate
        self.size = size

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x_NCHW
        height, width = x_NCHW.shape[-2:]
        size = min(self.size, height, width)
        # The density of square centres that drops `rate` of the units in expectation (equation 1 of the paper).
        gamma = self.rate / size**2 * (height * width) / ((height - size + 1) * (width - size + 1))
        centres = (torch.rand_like(x_NCHW[..., : height - size + 1, : width - size + 1]) < gamma).to(x_NCHW.dtype)
        dropped = functional.max_pool2d(functional.pad(centres, (size - 1,) * 4), size, stride=1)
        kept = 1.0 - dropped
        return x_NCHW * kept * (kept.numel() / kept.sum().clamp(min=1.0))


class Block(nn.Module):
    """conv-bn-act, conv-bn-act, conv-bn, plus a 1x1 shortcut; then activation, 2x2 max pooling and DropBlock."""

    def __init__(self, inputs: int, outputs: int, dropblock: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv3 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut_conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut_bn = nn.BatchNorm2d(outputs)
        self.act = nn.LeakyReLU(NEGATIVE_SLOPE)
        self.pool = nn.MaxPool2d(2)
        self.drop = DropBlock(dropblock, size=5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.bn1(self.conv1(x)))
        y = self.act(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.drop(self.pool(self.act(y + self.shortcut_bn(self.shortcut_conv(x)))))
        return out


class ResNet12(nn.Module):
    """Maps normalised images (N, 3, H, W) to embeddings (N, widths[-1]).

    Args:
        widths: channels of the four blocks.
        dropblock: DropBlock rate of the last two blocks.
    """

    def __init__(self, widths: Sequence[int] = (64, 160, 320, 640), dropblock: float = 0.0) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"ResNet-12 has four blocks, got widths {tuple(widths)}")
        inputs = (3, *widths[:-1])
        rates = (0.0, 0.0, dropblock, dropblock)
        self.blocks = nn.Sequential(*(Block(*block) for block in zip(inputs, widths, rates, strict=True)))
        self.embedding_dim = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, NEGATIVE_SLOPE, mode="fan_out")

    def forward(self, x_N3HW: Tensor) -> Tensor:
        return self.late(x_N3HW, 0)

    def early(self, x_N3HW: Tensor, blocks: int) -> Tensor:
        """Returns the feature maps after that many blocks."""
        maps: Tensor = self.blocks[:blocks](x_N3HW)
        return maps

    def late(self, maps_NCHW: Tensor, blocks: int) -> Tensor:
        """Returns the embeddings, from the feature maps after that many blocks."""
        maps: Tensor = self.blocks[blocks:](maps_NCHW)
        return maps.mean(dim=(2, 3))
