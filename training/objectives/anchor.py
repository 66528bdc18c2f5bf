"""Anchoring: embeddings kept near those of the network that training started from.

Few-shot heads for pictures outside the training domains rest on what that network knows. The distance is the feature
distillation of Romero et al. (FitNets, ICLR 2015, arXiv:1412.6550), between directions, since heads use directions only.
"""

from torch import Tensor
from torch.nn import functional


def anchor_distance(embeddings_ND: Tensor, initial_ND: Tensor) -> Tensor:
    """Returns one minus the cosine between each image's embedding and its initial one, the mean over the images."""
    return (1.0 - functional.cosine_similarity(embeddings_ND, initial_ND, dim=1)).mean()
