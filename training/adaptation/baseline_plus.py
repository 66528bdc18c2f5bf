"""Baseline++: a classifier by cosines, by gradient steps on frozen embeddings.

From Chen et al., ICLR 2019, arXiv:1904.04232, section 3.2. A class's score is s times the cosine between the embedding and the
class's vector. The scale s is 2 in the authors' code for up to 200 classes (`distLinear` of `backbone.py`). That code also learns
a length for each class's vector; here it is the paper's cosine. The vectors start as those of a linear layer.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones import Backbone
from training.adaptation.baseline import RATES, train_classifier
from training.adaptation.method import FromLabels


class CosineClassifier(nn.Module):
    """Scores s · cos(embedding, class vector)."""

    def __init__(self, dim: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Linear(dim, classes, bias=False).weight
        self.scale = scale

    def forward(self, embeddings_nD: Tensor) -> Tensor:
        return self.scale * functional.normalize(embeddings_nD, dim=1) @ functional.normalize(self.weight, dim=1).T


@dataclass(frozen=True)
class BaselinePlus:
    """Trains the class vectors from a random start.

    Attributes:
        rate: of SGD.
        passes: over the examples.
        scale: s.
    """

    rate: float = RATES[0]
    passes: int = 100
    scale: float = 2.0

    def adapt(self, backbone: Backbone, images_n3HW: Tensor, labels_n: Tensor, classes: int) -> nn.Module:
        classifier = CosineClassifier(backbone.embedding_dim, classes, self.scale).to(images_n3HW.device)
        with torch.no_grad():
            embeddings_nD = backbone(images_n3HW)
        train_classifier(classifier, embeddings_nD, labels_n, self.rate, self.passes)
        return nn.Sequential(backbone, classifier).eval()


METHOD = FromLabels(
    "Baseline++",
    "Chen et al., ICLR 2019",
    {f"rate {rate:g}, scale {scale:g}": BaselinePlus(rate, scale=scale) for rate in RATES for scale in (2.0, 10.0)},
)
