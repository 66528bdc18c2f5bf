"""Golden images: pictures that an export carries with the answers that the server gives for them.

They come from the bundle's own golden pictures, which show nothing of anybody's. An export may be given to others, so that none
of a task's images belongs into it.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporting.errors import ExportError
from models.answers.classifier import Classifier
from models.answers.verdicts import verdict_of
from models.bundle import Bundle, BundleError
from models.engine import EngineError, EngineKind, embed_all, file_of, open_engine
from models.images.preprocess import Pixels, fit_pixels
from models.manifest import InputSpec
from models.novelty.detector import Background

_ENGINES: tuple[EngineKind, ...] = ("onnx", "onnx-int8", "onnx-fp16")


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Images of different sizes, and the answer for each.

    Attributes:
        images: uint8 (H, W, 3) each.
        probabilities: float64 (N, K).
        known: N.
        novelty: N, as it is told.
    """

    images: Sequence[Pixels]
    probabilities: NDArray[np.float64]
    known: Sequence[bool]
    novelty: Sequence[float]

    def to_json(self) -> str:
        """Returns a list with an entry for each image: `shape`, `pixels` (base64 of zlib of the bytes, row by row) and the
        answer.
        """
        entries = zip(self.images, self.probabilities.tolist(), self.known, self.novelty, strict=True)
        return json.dumps(
            [
                {
                    "shape": image.shape,
                    "pixels": base64.b64encode(zlib.compress(image.tobytes())).decode(),
                    "probabilities": [round(each, 7) for each in probabilities],
                    "known": known,
                    "novelty": novelty,
                }
                for image, probabilities, known, novelty in entries
            ]
        )

    @classmethod
    def from_json(cls, text: str) -> "Golden":
        """Reads what `to_json` wrote. Other text raises a ValueError, KeyError, TypeError or zlib.error."""
        entries: list[dict[str, Any]] = json.loads(text)
        images = [
            np.frombuffer(zlib.decompress(base64.b64decode(each["pixels"])), np.uint8).reshape(each["shape"]) for each in entries
        ]
        probabilities = np.array([each["probabilities"] for each in entries])
        return cls(images, probabilities, [each["known"] for each in entries], [each["novelty"] for each in entries])


def golden_of(classifier: Classifier, bundle: Bundle, file: str, background: Background, size: InputSpec | None = None) -> Golden:
    """Returns golden images with the answers that the server's own functions give, with the backbone apart.

    Args:
        size: of the images, where an export takes no others.

    Raises:
        ExportError: the backbone does not run here.
    """
    kind = next(kind for kind in _ENGINES if file_of(kind) == file)
    images = _views(bundle.golden_pixels)
    if size is not None:
        images = [fit_pixels(image, size) for image in images]
    try:
        engine = open_engine(bundle, kind)
        fitted = np.stack([fit_pixels(image, bundle.manifest.input) for image in images])
        probabilities, novelty = classifier.answer(embed_all(engine, fitted), engine.space, background)
    except (EngineError, BundleError) as error:
        raise ExportError(str(error)) from error
    known, told = zip(*map(verdict_of, novelty.tolist()), strict=True)
    return Golden(images, probabilities, known, told)


def _views(pictures: Pixels) -> list[Pixels]:
    """Returns pictures that need no resizing, that are enlarged, that are reduced, and that are cropped on either axis."""
    first, second = pictures[:2]
    height, width = first.shape[:2]
    wide = np.concatenate([first, second, first[::-1]], axis=1)
    return [
        first,
        second[: height * 3 // 5, : width * 4 // 5],
        wide,
        np.concatenate([wide[:, : 2 * width], wide[:, width:], wide[::-1, width:]])[: height * 3 - 1, 1:],
        first[:, : width // 3],
    ]
