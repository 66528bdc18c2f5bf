"""Fine-tuning of every layer (Yosinski et al., NeurIPS 2014, arXiv:1411.1792): `TopLayers` with nothing below them frozen."""

from training.adaptation.method import FromLabels
from training.adaptation.top_layers import candidates

METHOD = FromLabels("all layers", "Yosinski et al., NeurIPS 2014", candidates(None))
