"""Batched augmentation on the training device: one gather and a few products for the whole batch."""

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

    def __call__(self, pixels_NHW3: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1], with PyTorch's global random numbers."""
        images = pixels_NHW3.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return self._jitter(self._crop_and_flip(images))

    def _crop_and_flip(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        device = images.device
        padded = functional.pad(images, (self.padding,) * 4)
        top, left = torch.randint(0, 2 * self.padding + 1, (2, count, 1), device=device)
        rows = top + torch.arange(height, device=device)
        columns = left + torch.arange(width, device=device)
        flipped = torch.rand(count, 1, device=device) < 0.5
        columns = torch.where(flipped, columns.flip(1), columns)
        picked = padded.permute(0, 2, 3, 1)[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None]]
        return picked.permute(0, 3, 1, 2)

    def _jitter(self, images: Tensor) -> Tensor:
        shape = (3, len(images), 1, 1, 1)
        brightness, contrast, saturation = 1.0 + self.jitter * (2.0 * torch.rand(shape, device=images.device) - 1.0)
        images = (images * brightness).clamp(0.0, 1.0)
        images = torch.lerp(luma(images).mean(dim=(2, 3), keepdim=True), images, contrast).clamp(0.0, 1.0)
        return torch.lerp(luma(images), images, saturation).clamp(0.0, 1.0)


def luma(images_N3HW: Tensor) -> Tensor:
    """The grey value of each pixel (ITU-R BT.601), (N, 1, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images_N3HW.device).view(1, 3, 1, 1)
    return (images_N3HW * weights).sum(dim=1, keepdim=True)
