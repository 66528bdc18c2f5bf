"""Fine-tuning of the uppermost layers with the head, the layers below them frozen (Yosinski et al., How transferable are features
in deep neural networks?, NeurIPS 2014, arXiv:1411.1792).

The head starts as the server's, and the loss is the server's objective, the mean cross-entropy plus ‖W‖²/(2Cn). So with no layer
but the head nothing moves: the head is at its optimum already. Batch normalisation keeps the statistics that it was trained with,
since a few images have poor ones of their own.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones import Backbone
from training.adaptation.last_layer import LastLayer, ServedHead
from training.adaptation.method import FromLabels

_BATCH = 64
_RATES, _STEPS = (1e-4, 1e-3), (20, 100)


def layers_of(network: nn.Module) -> list[list[nn.Parameter]]:
    """Returns the parameters of each layer from the input upwards, in the order in which the network names its modules.

    A layer is a convolution or a linear map, with the normalisation that follows it.
    """
    layers: list[list[nn.Parameter]] = []
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.Conv2d | nn.Linear):
            layers.append(own)
        elif own and layers:
            layers[-1] += own
        elif own:
            layers.append(own)
    return layers


@dataclass(frozen=True)
class TopLayers:
    """Trains the uppermost layers and the head by Adam, on all images at once or on batches of 64.

    Attributes:
        layers: how many, beside the head; None for all.
        rate: of Adam.
        steps: of Adam.
        C: of the head, as in `LastLayer`.
    """

    layers: int | None
    rate: float
    steps: int
    C: float = 10.0

    def adapt(self, backbone: Backbone, images_n3HW: Tensor, labels_n: Tensor, classes: int) -> nn.Module:
        network = LastLayer(self.C).adapt(copy.deepcopy(backbone), images_n3HW, labels_n, classes)
        body, head = cast("nn.Sequential", network)
        below = layers_of(body)
        above = below if self.layers is None else below[len(below) - self.layers :]
        network.requires_grad_(False)
        trained = [weight for layer in (*above, list(head.parameters())) for weight in layer]
        for weight in trained:
            weight.requires_grad_(True)
        optimizer = torch.optim.Adam(trained, lr=self.rate)
        for chosen in _batches(len(labels_n), self.steps, labels_n.device):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images_n3HW[chosen]), labels_n[chosen])
            torch.autograd.backward(loss + self._penalty(cast("ServedHead", head), len(labels_n)))
            optimizer.step()
        return network.requires_grad_(False).eval()

    def _penalty(self, head: ServedHead, examples: int) -> Tensor:
        C = self.C / 2 if len(head.weight) == 2 else self.C  # as `models.heads.solvers.logistic` does
        return head.weight.square().sum() / (2.0 * C * examples)


def _batches(examples: int, steps: int, device: torch.device) -> Sequence[Tensor]:
    """Returns the examples of each step: all of them, or a random 64."""
    if examples <= _BATCH:
        return [torch.arange(examples, device=device)] * steps
    return [torch.randperm(examples, device=device)[:_BATCH] for _ in range(steps)]


def candidates(layers: int | None) -> dict[str, TopLayers]:
    """Returns fine-tuning of so many layers at every rate and number of steps, by what they are."""
    return {f"rate {rate:g}, steps {steps}": TopLayers(layers, rate, steps) for rate in _RATES for steps in _STEPS}


TOP = FromLabels("top layer", "Yosinski et al., NeurIPS 2014", candidates(1))
TOP_4 = FromLabels("top 4 layers", "Yosinski et al., NeurIPS 2014", candidates(4))
