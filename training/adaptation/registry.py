"""The ways of adaptation, by name. A new one is one more file of this package that ends with its entry."""

from training.adaptation.method import FromImages, FromLabels
from training.entries import entries

FROM_LABELS = entries("training.adaptation", FromLabels)
FROM_IMAGES = entries("training.adaptation", FromImages)
