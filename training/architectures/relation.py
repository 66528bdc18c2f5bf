"""Relation-regularised layers: tasks learn how they relate (Zhang & Yeung, UAI 2010, "A convex formulation for learning task
relationships in multi-task learning", arXiv:1203.3536).

With the weights of task t as column t of W (P, T), they minimise over W and over the relation Ω (T, T), Ω ⪰ 0 and tr Ω = 1,

    Σ_t L_t + λ tr(W Ω⁻¹ Wᵀ).

For a given W the best relation has a closed form (equation 11): Ω = (WᵀW)^½ / tr (WᵀW)^½. It is found anew in every step.

W is the weights of the tasks' own fully connected layers, on shared blocks. They start alike, so a unit means the same for all
tasks. The heads are left out: class 1 of one task has nothing to do with class 1 of another. Multilinear relationship networks
(Long, Cao, Wang & Yu, NeurIPS 2017) have further covariances of features and of classes, found by turns with the inverses of
Kronecker products. Classes that do not correspond leave the covariance of tasks, and that has the closed form.
"""

import torch
from torch import Tensor

from training.architectures.sharing import Architecture, Setting, SharedNetwork, apart, by_task, together

_LEAST = 1e-6


class Relation(SharedNetwork):
    """Shared blocks, and fully connected layers for each task with a learned relation.

    Args:
        strength: λ, beside the mean of the tasks' losses.
    """

    def __init__(self, setting: Setting, strength: float = 1e-5) -> None:
        super().__init__(setting)
        self.strength = strength
        self.blocks = setting.convolutions(1)
        self.fully_connected = setting.fully_connected(setting.tasks)
        for layer in self.fully_connected:
            layer.start_alike()

    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) of each task's images by its own last layers."""
        maps_TnCHW = by_task(self.blocks(together(images_Tn3HW))[:, 0], len(images_Tn3HW))
        return apart(self.fully_connected(apart(maps_TnCHW)).flatten(2))

    def penalty(self) -> Tensor:
        """Returns λ tr(W Ω⁻¹ Wᵀ), with Ω held constant. That is λ times the square of W's nuclear norm."""
        weights_TP = torch.cat([layer.weights() for layer in self.fully_connected], dim=1)
        inverse_TT: Tensor = torch.linalg.inv(relation(weights_TP))
        return self.strength * torch.sum(inverse_TT * (weights_TP @ weights_TP.T))


@torch.no_grad()
def relation(weights_TP: Tensor) -> Tensor:
    """Returns Ω, (T, T). Its least eigenvalue is kept from zero, at which tasks that are alike would leave it."""
    values_T, vectors_TT = torch.linalg.eigh(weights_TP @ weights_TP.T)
    roots_T = values_T.clamp(min=0.0).sqrt()
    shares_T = (roots_T / roots_T.sum()).clamp(min=_LEAST)
    omega_TT: Tensor = (vectors_TT * shares_T) @ vectors_TT.T
    return omega_TT


ARCHITECTURE = Architecture("relation", "Zhang & Yeung, UAI 2010", Relation)
