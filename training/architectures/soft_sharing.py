"""Soft sharing: a network for each task, and an ℓ2 penalty on the distances between them (Duong, Cohn, Bird & Cook, ACL 2015).

Their two parsers have the penalty λ‖θ₁ − θ₂‖². For T networks it is λ Σ_t ‖θ_t − θ̄‖², with θ̄ their mean, as in regularised
multi-task learning (Evgeniou & Pontil, KDD 2004, equation 8); for two it is half of Duong's. λ = 0 gives networks that share
nothing, and λ → ∞ one trunk. They start alike, so the penalty begins at zero.
"""

import torch
from torch import Tensor

from training.architectures.independent import Independent
from training.architectures.sharing import Architecture, Setting


class SoftSharing(Independent):
    """T trunks drawn to their mean.

    Args:
        strength: λ, beside the mean of the tasks' losses.
    """

    def __init__(self, setting: Setting, strength: float = 1e-3) -> None:
        super().__init__(setting)
        self.strength = strength
        for layer in self.trunks:
            layer.start_alike()

    def penalty(self) -> Tensor:
        """Returns λ Σ_t ‖θ_t − θ̄‖² over the weights of convolutions and fully connected layers."""
        weights_TP = torch.cat([layer.weights() for layer in self.trunks], dim=1)
        return self.strength * (weights_TP - weights_TP.mean(dim=0)).square().sum()


ARCHITECTURE = Architecture("soft-sharing", "Duong, Cohn, Bird & Cook, ACL 2015", SoftSharing)
