"""The last layer alone: the head that the server fits on the frozen network's embeddings.

Logistic regression on embeddings of length one (Tian et al., Rethinking few-shot image classification, ECCV 2020,
arXiv:2003.11539, section 3.2). It has an exact solution, so there are neither steps nor a rate.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.backbones import Backbone
from models.heads.fitting import fit
from models.heads.head import features
from models.manifest import HeadOptions
from training.adaptation.method import FromLabels


class ServedHead(nn.Module):
    """A head as the server fits it, as a layer: scores are W f + b, with f of `models.heads.head.features`.

    Args:
        embeddings_nD: of the examples.
        labels_n: in [0, classes).
        mean_D: of the embeddings over base images; None not to centre.
    """

    mean: Tensor | None

    def __init__(
        self, embeddings_nD: Tensor, labels_n: Tensor, classes: int, options: HeadOptions, mean_D: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean_D)
        space = features(embeddings_nD.detach(), mean_D).cpu().numpy()
        linear = fit(space, labels_n.cpu().numpy(), classes, options)
        self.weight, self.bias = (
            nn.Parameter(torch.from_numpy(values).to(embeddings_nD)) for values in (linear.weight, linear.bias)
        )

    def forward(self, embeddings_nD: Tensor) -> Tensor:
        scores_nK: Tensor = features(embeddings_nD, self.mean) @ self.weight.T + self.bias
        return scores_nK


@dataclass(frozen=True)
class LastLayer:
    """Embeds the images once, and fits a head.

    Attributes:
        C: the inverse strength of the head's penalty, see `models.heads.solvers.logistic`.
    """

    C: float = 3.0

    def adapt(self, backbone: Backbone, images_n3HW: Tensor, labels_n: Tensor, classes: int) -> nn.Module:
        with torch.no_grad():
            embeddings_nD = backbone(images_n3HW)
        options = HeadOptions(solver="logistic", C=self.C, temperature=1.0, centre=False)
        return nn.Sequential(backbone, ServedHead(embeddings_nD, labels_n, classes, options)).eval()


METHOD = FromLabels("last layer", "Tian et al., ECCV 2020", {f"C {C:g}": LastLayer(C) for C in (1.0, 3.0, 10.0, 30.0)})
