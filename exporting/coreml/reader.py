"""A Core ML package that is opened again. Only macOS can run one."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from coremltools.models import MLModel
from PIL import Image

from exporting.errors import ExportError
from exporting.names import IMAGE, KNOWN, LABEL_PROBABILITIES, LABELS, NOVELTY
from models.images.preprocess import Pixels


class CoreMl:
    """A package as a function.

    Attributes:
        metadata: the texts that it carries.
    """

    def __init__(self, package: Path) -> None:
        """Opens a package.

        Raises:
            ExportError: it is none, or this system is not macOS.
        """
        runs = sys.platform == "darwin"
        try:
            self._model = MLModel(str(package), skip_model_load=not runs)
            self.metadata: Mapping[str, str] = dict(self._model.user_defined_metadata)
            self._labels = json.loads(self.metadata[LABELS])
        except Exception as error:  # A damaged package may raise anything.
            raise ExportError(f"{package} is no Core ML package that `headstart export` made") from error
        if not runs:
            raise ExportError(f"{package} can be checked on macOS alone, since nothing else runs Core ML")

    def __call__(self, pixels: Pixels) -> Sequence[Any]:
        """Returns probabilities, known and novelty of one image (1, H, W, 3)."""
        told = self._model.predict({IMAGE: Image.fromarray(pixels[0])})
        shares = told[LABEL_PROBABILITIES]
        probabilities = np.array([[shares[label] for label in self._labels]])
        return [probabilities, np.ravel(told[KNOWN]) > 0.5, np.ravel(told[NOVELTY])]
