"""Batched augmentation on the training device: one gather and a few products for the whole batch."""

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional


class Augmentation(BaseModel):
    """Random crop after padding, horizontal flip, and colour jitter, drawn independently for each image.

    Attributes:
        padding: pixels of zero padding on each side before the crop back to size.
        jitter: brightness, contrast and saturation are each scaled by a factor from [1 - jitter, 1 + jitter].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    padding: int = 4
    jitter: float = 0.4

    def draw(self, count: int, device: torch.device) -> "Draws":
        """Random numbers for `count` images, from PyTorch's global generator."""
        top, left = torch.randint(0, 2 * self.padding + 1, (2, count, 1), device=device)
        flipped = torch.rand(count, 1, device=device) < 0.5
        factors = 1.0 + self.jitter * (2.0 * torch.rand((3, count, 1, 1, 1), device=device) - 1.0)
        return Draws(top, left, flipped, *factors)

    def __call__(self, pixels_NHW3: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1], freshly drawn."""
        return self.apply(pixels_NHW3, self.draw(len(pixels_NHW3), pixels_NHW3.device))

    def apply(self, pixels_NHW3: Tensor, draws: "Draws") -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1], as drawn."""
        images = pixels_NHW3.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return _jitter(self._crop_and_flip(images, draws), draws)

    def _crop_and_flip(self, images: Tensor, draws: "Draws") -> Tensor:
        count, _, height, width = images.shape
        device = images.device
        padded = functional.pad(images, (self.padding,) * 4)
        rows = draws.top + torch.arange(height, device=device)
        columns = draws.left + torch.arange(width, device=device)
        columns = torch.where(draws.flipped, columns.flip(1), columns)
        picked = padded.permute(0, 2, 3, 1)[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None]]
        return picked.permute(0, 3, 1, 2)


class Draws(NamedTuple):
    """What was drawn for each of N images: offsets and flips (N, 1), colour factors (N, 1, 1, 1)."""

    top: Tensor
    left: Tensor
    flipped: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor

    def of(self, images: slice) -> "Draws":
        """The draws of some of the images."""
        return Draws(*(drawn[images] for drawn in self))


def _jitter(images: Tensor, draws: Draws) -> Tensor:
    images = (images * draws.brightness).clamp(0.0, 1.0)
    images = torch.lerp(luma(images).mean(dim=(2, 3), keepdim=True), images, draws.contrast).clamp(0.0, 1.0)
    return torch.lerp(luma(images), images, draws.saturation).clamp(0.0, 1.0)


def luma(images_N3HW: Tensor) -> Tensor:
    """The grey value of each pixel (ITU-R BT.601), (N, 1, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images_N3HW.device).view(1, 3, 1, 1)
    return (images_N3HW * weights).sum(dim=1, keepdim=True)
