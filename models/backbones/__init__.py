"""Backbones in PyTorch: the networks that `training` trains and exports. Serving never imports this package."""

from models.backbones.build import Backbone, PixelBackbone, build_backbone
from models.backbones.conv4 import Conv4
from models.backbones.efficientnet_lite import EFFICIENTNET_LITE, EfficientNetLite
from models.backbones.projected import Projected
from models.backbones.resnet12 import ResNet12

__all__ = [
    "EFFICIENTNET_LITE",
    "Backbone",
    "Conv4",
    "EfficientNetLite",
    "PixelBackbone",
    "Projected",
    "ResNet12",
    "build_backbone",
]
