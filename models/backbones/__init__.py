"""Backbones in PyTorch: the networks that `training` trains and exports. Serving never imports this package."""

from models.backbones.build import Backbone, PixelBackbone, build_backbone
from models.backbones.conv4 import Conv4
from models.backbones.resnet12 import ResNet12

__all__ = ["Backbone", "Conv4", "PixelBackbone", "ResNet12", "build_backbone"]
