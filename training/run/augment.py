"""Batched augmentation on the training device: one gather and a few products for the whole batch."""

import math
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional


class Augmentation(BaseModel):
    """Random crop, horizontal flip and colour jitter, drawn for each image by itself. Some batches are made of small pictures.

    Attributes:
        padding: pixels of zero padding on each side before the crop back to size; not used with `least_area`.
        least_area: where given, the crop is of this share of the image or more, of a shape between 3:4 and 4:3, and scaled
            (Szegedy et al., CVPR 2015, section 6).
        crop_size: side of the scaled crop. In a crop smaller than the serving input, objects appear about as large as they do in
            serving (Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019), and it costs less.
        flip: whether half of the images are mirrored; not for signs and letters.
        jitter: brightness, contrast and saturation are each scaled by a factor from [1 - jitter, 1 + jitter].
        shrink: share of the batches whose images are scaled down and up again, so that the network learns small pictures too.
        shrink_to: the least and the greatest side that they are scaled down to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    padding: int = 4
    least_area: float | None = Field(default=None, gt=0, le=1)
    crop_size: int | None = Field(default=None, ge=16)
    flip: bool = True
    jitter: float = 0.4
    shrink: float = Field(default=0.0, ge=0, le=1)
    shrink_to: tuple[int, int] = (28, 80)

    def draw(self, count: int, device: torch.device) -> "Draws":
        """Returns random numbers for `count` images, from PyTorch's global generator."""
        top, left = torch.randint(0, 2 * self.padding + 1, (2, count, 1), device=device)
        flipped = (torch.rand(count, 1, device=device) < 0.5) & self.flip
        brightness, contrast, saturation = 1.0 + self.jitter * (2.0 * torch.rand((3, count, 1, 1, 1), device=device) - 1.0)
        windows = None if self.least_area is None else self._windows(count, self.least_area, device)
        side = 0
        if self.shrink and float(torch.rand(())) < self.shrink:
            side = int(torch.randint(self.shrink_to[0], self.shrink_to[1] + 1, ()))
        return Draws(top, left, flipped, brightness, contrast, saturation, windows, side)

    def _windows(self, count: int, least_area: float, device: torch.device) -> Tensor:
        """Returns affine maps (N, 2, 3) from the crop's coordinates to the image's, both from -1 to 1."""
        area = least_area + (1.0 - least_area) * torch.rand(count, device=device)
        shape = torch.exp(math.log(4 / 3) * (2.0 * torch.rand(count, device=device) - 1.0))
        sides = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], dim=1).clamp(max=1.0)
        return torch.cat([torch.diag_embed(sides), ((2.0 * torch.rand_like(sides) - 1.0) * (1.0 - sides))[:, :, None]], dim=2)

    def __call__(self, pixels_NHW3: Tensor) -> Tensor:
        """Converts uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [0, 1], with a fresh draw."""
        return self.apply(pixels_NHW3, self.draw(len(pixels_NHW3), pixels_NHW3.device))

    def apply(self, pixels_NHW3: Tensor, draws: "Draws") -> Tensor:
        """Converts uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [0, 1], with the given draws."""
        images = pixels_NHW3.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        images = self._crop_and_flip(images, draws) if draws.windows is None else self._scaled_crop(images, draws.windows, draws)
        images = _jitter(images, draws)
        if not draws.shrunk_side:
            return images
        small = functional.interpolate(images, size=draws.shrunk_side, mode="bilinear", antialias=True)
        return functional.interpolate(small, size=images.shape[-2:], mode="bicubic").clamp(0.0, 1.0)

    def _scaled_crop(self, images: Tensor, windows: Tensor, draws: "Draws") -> Tensor:
        side = self.crop_size or images.shape[-1]
        mirror = torch.where(draws.flipped, -1.0, 1.0)[:, :, None]
        maps = torch.cat([windows[:, :, :1] * mirror, windows[:, :, 1:]], dim=2)
        grid = functional.affine_grid(maps, [len(images), 3, side, side], align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

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
    """The random draws for N images: offsets and flips (N, 1), colour factors (N, 1, 1, 1), windows (N, 2, 3).

    `shrunk_side` holds for all of them; 0 leaves their size alone.
    """

    top: Tensor
    left: Tensor
    flipped: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    windows: Tensor | None
    shrunk_side: int

    def of(self, images: slice) -> "Draws":
        """Returns the draws of some of the images."""
        windows = None if self.windows is None else self.windows[images]
        top, left, flipped = self.top[images], self.left[images], self.flipped[images]
        factors = self.brightness[images], self.contrast[images], self.saturation[images]
        return Draws(top, left, flipped, *factors, windows, self.shrunk_side)


def _jitter(images: Tensor, draws: Draws) -> Tensor:
    images = (images * draws.brightness).clamp(0.0, 1.0)
    images = torch.lerp(luma(images).mean(dim=(2, 3), keepdim=True), images, draws.contrast).clamp(0.0, 1.0)
    return torch.lerp(luma(images), images, draws.saturation).clamp(0.0, 1.0)


def luma(images_N3HW: Tensor) -> Tensor:
    """Returns the grey value of each pixel (ITU-R BT.601), (N, 1, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images_N3HW.device).view(1, 3, 1, 1)
    return (images_N3HW * weights).sum(dim=1, keepdim=True)
