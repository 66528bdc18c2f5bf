"""Baseline: a linear classifier by gradient steps on frozen embeddings.

From Chen et al., A closer look at few-shot classification, ICLR 2019, arXiv:1904.04232, section 3.2.

The settings are those of the authors' code (`methods/baselinefinetune.py` of wyharveychen/CloserLookFewShot on GitHub): SGD at
0.01, momentum and dampening 0.9, weight decay 0.001, 100 passes in batches of 4. Higher rates are candidates as well, because
these embeddings are of another network.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones import Backbone
from training.adaptation.method import FromLabels

RATES = (0.01, 0.1, 1.0)

_MOMENTUM, _DECAY, _BATCH = 0.9, 0.001, 4


def train_classifier(classifier: nn.Module, embeddings_nD: Tensor, labels_n: Tensor, rate: float, passes: int) -> None:
    """Trains a classifier of embeddings in place, by the paper's steps; batches come from PyTorch's global random numbers."""
    optimizer = torch.optim.SGD(classifier.parameters(), lr=rate, momentum=_MOMENTUM, dampening=_MOMENTUM, weight_decay=_DECAY)
    for _ in range(passes):
        order = torch.randperm(len(labels_n), device=labels_n.device)
        for chosen in torch.split(order, _BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(classifier(embeddings_nD[chosen]), labels_n[chosen])
            torch.autograd.backward(loss)
            optimizer.step()


@dataclass(frozen=True)
class Baseline:
    """Trains a linear layer from a random start.

    Attributes:
        rate: of SGD.
        passes: over the examples.
    """

    rate: float = RATES[0]
    passes: int = 100

    def adapt(self, backbone: Backbone, images_n3HW: Tensor, labels_n: Tensor, classes: int) -> nn.Module:
        classifier = nn.Linear(backbone.embedding_dim, classes).to(images_n3HW.device)
        with torch.no_grad():
            embeddings_nD = backbone(images_n3HW)
        train_classifier(classifier, embeddings_nD, labels_n, self.rate, self.passes)
        return nn.Sequential(backbone, classifier).eval()


METHOD = FromLabels("Baseline", "Chen et al., ICLR 2019", {f"rate {rate:g}": Baseline(rate) for rate in RATES})
