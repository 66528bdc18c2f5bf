"""A task's version as one file: all that answers for an image from its embedding, and nothing of the examples' images.

It is a safetensors file. Its head can be read alone, as the file of a head.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors.numpy import load

from models.answers.verdicts import novelty_of_labels
from models.arrays import Reals
from models.heads.head import EmbeddingSpace, Float32, Head, HeadFormatError, description_in
from models.novelty.detector import Background
from models.novelty.support_index import SupportIndex


class _About(BaseModel):
    """The part of the file's description that is beside the head's own."""

    task: str
    name: str
    version: int
    ways: int | None = None
    examples: int | None = None
    usual: float | None = None
    threshold: float | None = None


class _Described(BaseModel):
    """The description of the head and of the rest. What is the head's own is left to it."""

    classifier: _About


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A version of a task, apart from its server.

    Attributes:
        task, name, version: the task's id and name, and the number of the version.
        index: of its support set; None where an image may have several labels, which the head alone judges.
    """

    task: str
    name: str
    version: int
    head: Head
    index: SupportIndex | None

    def answer(self, embeddings: Float32, space: EmbeddingSpace, background: Background) -> tuple[NDArray[np.float64], Reals]:
        """Returns the probabilities (N, K) and the novelty (N,) of images, as a server tells them.

        Args:
            embeddings: (N, D), made by the backbone of `space`.
            background: of the same backbone.

        Raises:
            BackboneMismatch: the head was fitted in another space.
        """
        probabilities = self.head.probabilities(embeddings, space)
        if self.index is None:
            return probabilities, novelty_of_labels(probabilities)
        return probabilities, self.index.novelty(background.queries(embeddings), background)

    def to_bytes(self) -> bytes:
        """Returns the file's contents."""
        index = self.index
        about = _About(task=self.task, name=self.name, version=self.version)
        if index is None:
            return self.head.with_more({}, {"classifier": about.model_dump()})
        about.ways, about.examples, about.usual, about.threshold = index.ways, index.examples, index.usual, index.threshold
        return self.head.with_more({"codes": index.codes, "scales": index.scales}, {"classifier": about.model_dump()})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Classifier":
        """Reads what `to_bytes` wrote. Nothing is ever unpickled.

        Raises:
            HeadFormatError: `data` is anything else.
        """
        head = Head.from_bytes(data)
        try:
            about = _Described.model_validate_json(description_in(data)).classifier
            return cls(about.task, about.name, about.version, head, None if about.ways is None else _index(about, data))
        except Exception as error:  # safetensors and pydantic raise types of their own.
            raise HeadFormatError("not a classifier of this release") from error


def _index(about: _About, data: bytes) -> SupportIndex:
    tensors = load(data)
    codes, scales = tensors["codes"], tensors["scales"]
    ways, examples = about.ways, about.examples
    if ways is None or examples is None or about.usual is None or about.threshold is None:
        raise ValueError("the index is not described")
    if codes.dtype != np.int8 or codes.ndim != 2 or scales.shape != (len(codes),) or ways + examples > len(codes):
        raise ValueError("the index does not fit its description")
    return SupportIndex(codes, scales, ways, examples, about.usual, about.threshold)
