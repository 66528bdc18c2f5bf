"""The service that every peer offers: the shipped backbone on the engine that Headstart would take, its decoder, and one
fixed head.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.shared.setting import paper_bundle, support_set
from models.engine import EngineKind, embed_all, open_engine
from models.heads.fitting import fit_head
from models.images.preprocess import Pixels, load_image

ENGINE: EngineKind = os.environ["HEADSTART_PEER_ENGINE"]  # type: ignore[assignment]  # told by the benchmark


class Classifier:
    """A classifier of the sample images' five classes.

    Args:
        threads: of one inference.
    """

    def __init__(self, threads: int) -> None:
        bundle = paper_bundle()
        self._engine = open_engine(bundle, ENGINE, threads)
        self._spec = bundle.manifest.input
        support = support_set()
        embeddings = embed_all(self._engine, np.stack([self.decode(image) for _, image in support]))
        labels = [label for label, _ in support]
        self._head = fit_head(embeddings, labels, self._engine.space, bundle.manifest.head.options())

    def decode(self, image: bytes) -> Pixels:
        return load_image(image, self._spec)

    def predict(self, images: Sequence[Pixels]) -> list[dict[str, Any]]:
        """Returns Headstart's reply for each image."""
        rows = self._head.probabilities(embed_all(self._engine, np.stack(images)), self._engine.space)
        return [self._prediction(row.tolist()) for row in rows]

    def _prediction(self, probabilities: list[float]) -> dict[str, Any]:
        scores = dict(sorted(zip(self._head.labels, probabilities, strict=True), key=lambda item: -item[1]))
        label = next(iter(scores))
        return {"label": label, "probability": scores[label], "scores": scores}
