"""The head, the last layer of one task version, and the features that it reads."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors.numpy import load, save

from models.arrays import Array
from models.manifest import HeadOptions

Float32 = NDArray[np.float32]


class BackboneMismatch(Exception):
    """A head was applied to embeddings of another backbone file than the one it was fitted on."""


class HeadFormatError(Exception):
    """The bytes are not a head that this release can read."""


class BackboneRef(NamedTuple):
    """A backbone file: the bundle's id, `name@version`, and the file's sha256.

    A tuple, since a request for many tasks compares and looks up as many of them.
    """

    bundle: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingSpace:
    """The space of a backbone file's embeddings.

    Attributes:
        backbone: the file.
        mean: of the embeddings over the base classes, float32 (D,), on the device that the embeddings are on.
    """

    backbone: BackboneRef
    mean: Array

    def features(self, embeddings: Array, centre: bool) -> Array:
        """Returns `features` with this space's mean, if `centre`."""
        return features(embeddings, self.mean if centre else None)

    def on(self, device: Any) -> "EmbeddingSpace":
        """Returns the same space for embeddings on a `torch.device`, or this one if that is None."""
        if device is None:
            return self
        from models.tensors import on_device

        return EmbeddingSpace(self.backbone, on_device(self.mean, device))


def features(embeddings: Array, mean: Array | None) -> Array:
    """Returns f = (z − μ) / ‖z − μ‖ along the last axis; a zero vector stays zero.

    Centring and normalising matter more than the solver does (Wang et al., SimpleShot, arXiv:1911.04623).

    Args:
        embeddings: (…, D).
        mean: (D,) on the same device, or None not to centre.
    """
    xp = np if isinstance(embeddings, np.ndarray) else array_namespace(embeddings)  # which takes half as long as all the rest
    centred = embeddings if mean is None else embeddings - mean
    norms = xp.sqrt(xp.vecdot(centred, centred))[..., None]
    return centred / xp.maximum(norms, xp.finfo(norms.dtype).smallest_normal)


def softmax(scores: NDArray[Any], temperature: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns softmax(scores / T) along the last axis; `temperature` broadcasts against `scores`."""
    scaled = scores.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Returns 1 / (1 + exp(−scores)), without overflow."""
    values: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * scores.astype(np.float64)))
    return values


def description_in(data: bytes) -> str:
    """Returns the description in a head's file, as JSON. Bytes that are no such file raise anything."""
    (header_size,) = struct.unpack("<Q", data[:8])
    described: str = json.loads(data[8 : 8 + header_size])["__metadata__"]["head"]
    return described


class _About(BaseModel):
    """The description that a head's file holds beside the tensors. Older heads do not say whether scores are independent."""

    labels: tuple[str, ...]
    options: HeadOptions
    bundle: str
    sha256: str
    independent: bool = False


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Head:
    """The last layer of one task version.

    Attributes:
        labels: the K class labels, in the order of the rows of `weight`.
        weight: float32 (K, D).
        bias: float32 (K,).
        options: how it was fitted, and the temperature of its probabilities.
        backbone: the backbone file whose embeddings it reads.
        independent: whether an image may have any number of the labels: then each has a probability of its own.
    """

    labels: tuple[str, ...]
    weight: Float32
    bias: Float32
    options: HeadOptions
    backbone: BackboneRef
    independent: bool = False

    def probabilities(self, embeddings: Float32, space: EmbeddingSpace) -> NDArray[np.float64]:
        """Returns softmax((W f + b) / T), or sigmoid((W f + b) / T) of independent labels.

        Args:
            embeddings: (N, D), made by the backbone of `space`.

        Returns:
            (N, K), rows summing to one unless the labels are independent.

        Raises:
            BackboneMismatch: `space` is not the one that this head was fitted in.
        """
        return self.probabilities_of(space.features(embeddings, self.options.centre), space)

    def probabilities_of(self, features: Float32, space: EmbeddingSpace) -> NDArray[np.float64]:
        """Returns the same as `probabilities`, from features (N, D) that `space` made with this head's centring."""
        if space.backbone != self.backbone:
            raise BackboneMismatch(f"a head fitted on {self.backbone} cannot read embeddings of {space.backbone}")
        scores = features @ self.weight.T + self.bias
        return sigmoid(scores / self.options.temperature) if self.independent else softmax(scores, self.options.temperature)

    def to_bytes(self) -> bytes:
        """Returns the head as a safetensors file, with its description in the file's metadata."""
        return self.with_more({}, {})

    def with_more(self, tensors: Mapping[str, NDArray[Any]], more: Mapping[str, Any]) -> bytes:
        """Returns the same file with further tensors, and more in its description. `from_bytes` reads the head of it."""
        own = _About(
            labels=self.labels,
            options=self.options,
            bundle=self.backbone.bundle,
            sha256=self.backbone.sha256,
            independent=self.independent,
        )
        # safetensors writes an array's memory as it lies there, and a solver may leave the weight transposed.
        of_all = {"weight": self.weight, "bias": self.bias, **tensors}
        contiguous = {name: np.ascontiguousarray(array) for name, array in of_all.items()}
        about = own.model_dump_json()
        # There is one entry, since safetensors writes several in any order.
        return save(contiguous, {"head": json.dumps(json.loads(about) | more) if more else about})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Head":
        """Reads what `to_bytes` or `with_more` wrote.

        Raises:
            HeadFormatError: `data` is anything else.
        """
        try:
            tensors = load(data)
            about = _About.model_validate_json(description_in(data))
            weight, bias = tensors["weight"], tensors["bias"]
        except Exception as error:  # safetensors raises a type of its own that derives from Exception alone.
            raise HeadFormatError("not a head of this release") from error
        ways = len(about.labels)
        if weight.ndim != 2 or len(weight) != ways or bias.shape != (ways,):
            raise HeadFormatError("labels, weight and bias do not belong together")
        if weight.dtype != np.float32 or bias.dtype != np.float32:
            raise HeadFormatError("weight and bias are not float32")
        return cls(about.labels, weight, bias, about.options, BackboneRef(about.bundle, about.sha256), about.independent)
