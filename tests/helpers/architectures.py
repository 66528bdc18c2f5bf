"""A plain second implementation of the trunk, one network at a time, and small settings, for the tests of architectures."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.architectures import Setting, SharedNetwork
from training.architectures.layers import Layer, Layers

SMALL = Setting(tasks=3, ways=4, side=8, width=4, blocks=2, hidden=(6, 5))


def images(setting: Setting = SMALL, count: int = 2) -> Tensor:
    """Returns random images (T, n, 3, H, W)."""
    return torch.rand(setting.tasks, count, 3, setting.side, setting.side)


def labels(setting: Setting = SMALL, count: int = 2) -> Tensor:
    """Returns random labels (T, n)."""
    return torch.randint(setting.ways, (setting.tasks, count))


def built(kind: Callable[[Setting], SharedNetwork], setting: Setting = SMALL) -> SharedNetwork:
    """Returns a network in evaluation, with random statistics and transformations of batch normalisation."""
    network = kind(setting)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var, module.running_mean, module.bias.data):
                assert tensor is not None
                tensor.uniform_(0.3, 1.0)
    return network.eval()


def plain_layer(layer: Layer, network: int) -> nn.Sequential:
    """Returns one network's part of a layer, before the rectifier, of PyTorch's own modules on (N, C, H, W)."""
    many = layer.convolution
    inputs, outputs = many.in_channels // layer.networks, many.out_channels // layer.networks
    mine = slice(network * outputs, (network + 1) * outputs)
    convolution = nn.Conv2d(inputs, outputs, many.kernel_size, padding=many.padding, bias=many.bias is not None)  # type: ignore[arg-type]
    convolution.weight.data = many.weight.data[mine]
    if many.bias is not None and convolution.bias is not None:
        convolution.bias.data = many.bias.data[mine]
        return nn.Sequential(convolution)
    norm = nn.BatchNorm2d(outputs)
    assert isinstance(layer.norm, nn.BatchNorm2d)
    for name, value in layer.norm.state_dict().items():
        getattr(norm, name).data = value[mine] if value.ndim else value
    return nn.Sequential(convolution, norm.train(layer.training))


def plain_finish(layer: Layer) -> nn.Sequential:
    """Returns what follows a layer's linear part."""
    return nn.Sequential(nn.ReLU()) if layer.full else nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))


def plain_trunk(layers: Layers, network: int) -> nn.Sequential:
    """Returns one network of a trunk, from images (N, 3, H, W) to features (N, D)."""
    parts = [module for layer in layers for module in (plain_layer(layer, network), plain_finish(layer))]
    return nn.Sequential(*parts, nn.Flatten())
