"""Tasks made for tests without a server, as what the server saves of them."""

from pathlib import Path

import numpy as np

from models.answers.classifier import Classifier
from models.bundle import open_bundle
from models.engine import EngineKind, embed_all, open_engine
from models.heads.fitting import fit_head
from models.novelty.detector import Background
from models.novelty.support_index import SupportIndex


def classifier_of(bundle: Path, task: str, name: str, kind: EngineKind = "onnx") -> Classifier:
    """A task whose classes `a` and `b` are halves of a bundle's golden images."""
    opened = open_bundle(bundle)
    engine = open_engine(opened, kind)
    embeddings = embed_all(engine, opened.golden_pixels)
    classes = np.arange(len(embeddings)) * 2 // len(embeddings)
    head = fit_head(embeddings, ["ab"[each] for each in classes], engine.space, opened.manifest.head.options())
    background = Background.of(opened.background, opened.feature_mean, opened.manifest.head.novelty)
    return Classifier(task, name, 1, head, SupportIndex.of(embeddings, classes, background))
