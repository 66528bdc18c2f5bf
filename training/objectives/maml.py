"""MAML: model-agnostic meta-learning (Finn, Abbeel & Levine, ICML 2017, arXiv:1703.03400), second order.

Every weight of backbone and last layer takes a few gradient steps on an episode's support set. The loss is that of the adapted
network on the queries, differentiated through those steps. Batch normalisation is transductive as in the paper's code: its
statistics are those of the support set, then those of the queries, in training as in use.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from training.objectives.episodic import query_loss


class Maml(nn.Module):
    """Learns the backbone and where the last layer starts: from zero, as in `Anil`.

    Shape legend: see `training.objectives.episodic`; 3HW are an image's channels, height and width.

    Args:
        dim: D, the width of the embedding.
        ways: K of every episode, in training as in use.
        steps: of the inner loop; 5 is the paper's.
        rate: its learning rate; the paper's 0.01 makes five steps too short on CIFAR-FS.
    """

    def __init__(self, dim: int, ways: int = 5, steps: int = 5, rate: float = 0.05) -> None:
        super().__init__()
        self.steps = steps
        self.rate = rate
        self.head = nn.Linear(dim, ways)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, backbone: nn.Module, support_TKS3HW: Tensor, query_TKQ3HW: Tensor) -> Tensor:
        """Returns the mean cross-entropy of all queries. `use_batch_statistics` must have prepared `backbone`."""
        return query_loss(self.scores(backbone, support_TKS3HW, query_TKQ3HW.flatten(1, 2)))

    def scores(self, backbone: nn.Module, support_TKS3HW: Tensor, query_Tq3HW: Tensor) -> Tensor:
        """Returns the logits (T, q, K) of each episode's queries after adaptation."""
        learner = nn.Sequential(backbone, self.head)
        ways, shots = support_TKS3HW.shape[1:3]
        labels_n = torch.arange(ways, device=support_TKS3HW.device).repeat_interleave(shots)

        def of_one_episode(support_n3HW: Tensor, query_q3HW: Tensor) -> Tensor:
            logits: Tensor = functional_call(learner, self._adapt(learner, support_n3HW, labels_n), (query_q3HW,))
            return logits

        support_Tn3HW = support_TKS3HW.flatten(1, 2)
        if support_Tn3HW.is_cuda:
            return vmap(of_one_episode)(support_Tn3HW, query_Tq3HW)
        # On a CPU the grouped convolutions that vmap makes of an episode's own weights take twice as long as a loop.
        return torch.stack([of_one_episode(*episode) for episode in zip(support_Tn3HW, query_Tq3HW, strict=True)])

    def _adapt(self, learner: nn.Module, support_n3HW: Tensor, labels_n: Tensor) -> dict[str, Tensor]:
        """Returns the learner's weights after the inner loop, as functions of those it has."""

        def loss(weights: dict[str, Tensor]) -> Tensor:
            return functional.cross_entropy(functional_call(learner, weights, (support_n3HW,)), labels_n)

        weights: dict[str, Tensor] = dict(learner.named_parameters())
        for _ in range(self.steps):
            slopes = grad(loss)(weights)
            weights = {name: weight - self.rate * slopes[name] for name, weight in weights.items()}
        return weights


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
