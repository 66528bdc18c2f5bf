"""The shared parts of methods with an inner loop. Weights of the whole network adapt to an episode's support set.

Batch normalisation is transductive, as in MAML's code: its statistics are those of the support set, then those of the queries, in
training as in use.

Shape legend: see `training.objectives.episodic`; 3HW are an image's channels, height and width, and P all weights in a row.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from training.objectives.episodic import query_loss

Weights = dict[str, Tensor]
Loss = Callable[[Weights], Tensor]


class InnerLoopObjective(nn.Module, ABC):
    """Learns the backbone and where the last layer starts.

    The layer starts from zero. The order of an episode's classes means nothing, so a random start would only have to be
    unlearned (Kao et al., ICLR 2022, arXiv:2106.15367).

    Args:
        dim: D, the width of the embedding.
        ways: K of every episode, in training as in use.
    """

    def __init__(self, dim: int, ways: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, ways)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @abstractmethod
    def adapt(self, learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Weights:
        """Returns the learner's weights after the inner loop on a support set."""

    def learner(self, backbone: nn.Module) -> nn.Module:
        """Returns the network that adapts: the backbone with the last layer."""
        return nn.Sequential(backbone, self.head)

    def scores(self, backbone: nn.Module, support_TKS3HW: Tensor, query_Tq3HW: Tensor) -> Tensor:
        """Returns the logits (T, q, K) of the adapted networks. `use_batch_statistics` must have prepared `backbone`."""
        learner = self.learner(backbone)
        labels_n = labels_of(support_TKS3HW)

        def of_one_episode(support_n3HW: Tensor, query_q3HW: Tensor) -> Tensor:
            logits: Tensor = functional_call(learner, self.adapt(learner, support_n3HW, labels_n), (query_q3HW,))
            return logits

        support_Tn3HW = support_TKS3HW.flatten(1, 2)
        if support_Tn3HW.is_cuda:
            return vmap(of_one_episode)(support_Tn3HW, query_Tq3HW)
        # On a CPU the grouped convolutions that vmap makes of an episode's own weights take twice as long as a loop.
        return torch.stack([of_one_episode(*episode) for episode in zip(support_Tn3HW, query_Tq3HW, strict=True)])

    def backward(self, backbone: nn.Module, support_TKS3HW: Tensor, query_TKQ3HW: Tensor) -> Tensor:
        """Adds the meta-gradient to the gradients of all weights, and returns a loss to watch.

        Here it is the gradient of the queries' mean cross-entropy after adaptation, through the inner loop.
        """
        loss = query_loss(self.scores(backbone, support_TKS3HW, query_TKQ3HW.flatten(1, 2)))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def weights_of(learner: nn.Module) -> Weights:
    """Returns the learner's weights by name."""
    return dict(learner.named_parameters())


def labels_of(images_TKs3HW: Tensor) -> Tensor:
    """Returns the classes of an episode's images after `flatten(1, 2)`, (K·s,)."""
    ways, images = images_TKs3HW.shape[1:3]
    return torch.arange(ways, device=images_TKs3HW.device).repeat_interleave(images)


def loss_of(learner: nn.Module, images_n3HW: Tensor, labels_n: Tensor) -> Loss:
    """Returns the mean cross-entropy of images as a function of the learner's weights."""
    return lambda weights: functional.cross_entropy(functional_call(learner, weights, (images_n3HW,)), labels_n)


def descend(losses: Iterator[Loss], weights: Weights, rate: float, *, first_order: bool = False) -> Weights:
    """Returns the weights after a step of gradient descent on each loss, as functions of those before.

    Args:
        first_order: whether the gradients count as constants, so that each step passes derivatives on unchanged.
    """
    for loss in losses:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not first_order):
            slopes = grad(loss)(weights)
        weights = {name: weight - rate * slopes[name] for name, weight in weights.items()}
    return weights


def proximal(loss: Loss, start: Weights, strength: float) -> Loss:
    """Returns loss(w) + λ/2 ‖w − start‖², with λ the strength."""
    return lambda weights: (
        loss(weights) + strength / 2 * torch.stack([(weights[name] - start[name]).square().sum() for name in start]).sum()
    )


def flat(weights: Mapping[str, Tensor]) -> Tensor:
    """Returns all weights in a row, (P,)."""
    return torch.cat([weight.flatten() for weight in weights.values()])


def unflat(row_P: Tensor, like: Mapping[str, Tensor]) -> Weights:
    """Reverses `flat`; names and shapes are those of `like`."""
    parts = torch.split(row_P, [weight.numel() for weight in like.values()])
    return {name: part.view(weight.shape) for (name, weight), part in zip(like.items(), parts, strict=True)}


def add_gradient(learner: nn.Module, slopes: Weights, share: float) -> None:
    """Adds `share` times the slopes to the gradients of the learner's weights."""
    for name, weight in learner.named_parameters():
        slope = share * slopes[name]
        weight.grad = slope if weight.grad is None else weight.grad + slope


def use_batch_statistics(backbone: nn.Module) -> None:
    """Makes batch normalisation transductive in training mode.

    It then neither reads nor writes running statistics, which `torch.func` could not follow.
    """
    for layer in backbone.modules():
        if isinstance(layer, _BatchNorm):
            layer.track_running_stats = False


@torch.no_grad()
def measure_running_statistics(backbone: nn.Module, images_N3HW: Tensor) -> None:
    """Sets the running statistics that evaluation mode reads to those of `images_N3HW`, before any adaptation."""
    layers = [layer for layer in backbone.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.track_running_stats, layer.momentum = True, 1.0
    backbone.train()
    backbone(images_N3HW)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.track_running_stats, layer.momentum = False, momentum
