"""EfficientNet-Lite, a family of small networks for photographs (Tan & Le, EfficientNet, ICML 2019, arXiv:1905.11946).

Inverted residual blocks (Sandler et al., MobileNetV2, CVPR 2018), without the parts that are slow in 8 bits: ReLU6 replaces
SiLU, and there is no squeeze-and-excitation. Stem and head keep their width at every scale. Modules have the names and the
padding of `timm:tf_efficientnet_lite0`, so that its state dict fits and computes the same.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from models.backbones.fixed_depthwise import fixed_depthwise

_EPSILON = 1e-3  # of batch normalisation, as in the published networks
_STEM, _HEAD = 32, 1280


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# Table 1 of the paper; the first and the last stage are never repeated more often.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class Scale(NamedTuple):
    """The size of one network of the family, relative to the smallest.

    Attributes:
        width: factor of the channels.
        depth: factor of the repeats.
        input_size: side of the square images that it was published for.
    """

    width: float
    depth: float
    input_size: int


EFFICIENTNET_LITE = {
    "efficientnet-lite0": Scale(1.0, 1.0, 224),
    "efficientnet-lite1": Scale(1.0, 1.1, 240),
    "efficientnet-lite2": Scale(1.1, 1.2, 260),
}


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's `SAME` padding: an odd row or column goes below or to the right."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride == 1:
            return self._convolve(x_NCHW, 1, kernel // 2)
        rows, columns = (max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x_NCHW.shape[-2:])
        padded = functional.pad(x_NCHW, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return self._convolve(padded, stride, 0)

    def _convolve(self, x_NCHW: Tensor, stride: int, padding: int) -> Tensor:
        if self.training and self.groups == self.in_channels and not self.weight.requires_grad:
            return fixed_depthwise(x_NCHW, self.weight, stride, padding)
        return functional.conv2d(x_NCHW, self.weight, None, stride, padding, 1, self.groups)


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> SameConv2d:
    return SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)


class SeparableBlock(nn.Module):
    """Depthwise convolution, then projection: the block of the first stage."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _conv(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = _norm(inputs)
        self.conv_pw = _conv(inputs, outputs)
        self.bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn2(self.conv_pw(functional.relu6(self.bn1(self.conv_dw(x)))))
        return y


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; added to its input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.conv_pw = _conv(inputs, hidden)
        self.bn1 = _norm(hidden)
        self.conv_dw = _conv(hidden, hidden, kernel, stride, groups=hidden)
        self.bn2 = _norm(hidden)
        self.conv_pwl = _conv(hidden, outputs)
        self.bn3 = _norm(outputs)
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self.bn1(self.conv_pw(x)))
        y = functional.relu6(self.bn2(self.conv_dw(y)))
        out: Tensor = self.bn3(self.conv_pwl(y))
        return x + out if self._residual else out


class EfficientNetLite(nn.Module):
    """Maps normalised images (N, 3, H, W), of any size from 32 pixels, to embeddings (N, 1280), the input of the removed
    classifier.

    Args:
        scale: one of `EFFICIENTNET_LITE`.
    """

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.conv_stem = _conv(3, _STEM, 3, 2)
        self.bn1 = _norm(_STEM)
        stages: list[nn.Module] = []
        inputs = _STEM
        for position, stage in enumerate(_STAGES):
            outputs = _rounded(stage.channels * scale.width)
            ends = position in (0, len(_STAGES) - 1)
            blocks: list[nn.Module] = []
            for repeat in range(stage.repeats if ends else math.ceil(stage.repeats * scale.depth)):
                stride = stage.stride if repeat == 0 else 1
                if stage.expansion == 1:
                    blocks.append(SeparableBlock(inputs, outputs, stage.kernel, stride))
                else:
                    blocks.append(InvertedResidual(inputs, outputs, stage.kernel, stride, stage.expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = _conv(inputs, _HEAD)
        self.bn2 = _norm(_HEAD)
        self.embedding_dim = _HEAD

    def forward(self, x_N3HW: Tensor) -> Tensor:
        return self.late(self.early(x_N3HW, 0), 0)

    def early(self, x_N3HW: Tensor, stages: int) -> Tensor:
        """Returns the feature maps after the stem and the first `stages` stages."""
        maps: Tensor = self.blocks[:stages](functional.relu6(self.bn1(self.conv_stem(x_N3HW))))
        return maps

    def late(self, maps_NCHW: Tensor, stages: int) -> Tensor:
        """Returns the embeddings, from the result of `early`."""
        last_NCHW = functional.relu6(self.bn2(self.conv_head(self.blocks[stages:](maps_NCHW))))
        return last_NCHW.mean(dim=(2, 3))

    def fix(self, stages: int) -> None:
        """Freezes all weights but the pointwise convolutions and the normalisation after the first `stages` stages.

        Depthwise kernels are frozen everywhere: a CPU spends most of a step on their gradients.
        """
        for part in (self.conv_stem, self.bn1, self.blocks[:stages]):
            part.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, SameConv2d) and module.groups > 1:
                module.requires_grad_(False)

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Loads weights under any names, in this network's order: the published files differ in names alone.

        Args:
            state: with or without the classifier, whose two tensors come last.

        Raises:
            ValueError: it holds the weights of another network.
        """
        own = self.state_dict()
        values = list(state.values())
        if len(values) not in (len(own), len(own) + 2) or any(
            mine.shape != theirs.shape for mine, theirs in zip(own.values(), values, strict=False)
        ):
            raise ValueError("these are not the weights of this network: the tensors differ in number or shape")
        self.load_state_dict(dict(zip(own, values, strict=False)))


def _rounded(channels: float) -> int:
    """Returns the next multiple of 8 that is at least nine tenths of `channels` (the published networks' rule)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
