"""Many heads on the same embeddings: stacked by backbone, centring and number of classes, and applied as matrix products."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from models.arrays import Array
from models.heads.head import BackboneMismatch, EmbeddingSpace, Float32, Head, sigmoid, softmax
from models.heads.solvers import newton

Probabilities = NDArray[np.float64]

# Multiplications of one product, and embeddings that share it. At this size the operands stay in the core's cache. OpenBLAS runs
# larger products on several threads; beside other work these wait for one another many times as long as they compute.
_PRODUCT, _EMBEDDINGS = 2**17, 4


class HeadStack:
    """T heads of K classes each that read the same features.

    Args:
        heads: T, all of one backbone, centring and K, and all with independent labels or all without.
        positions: T, of these heads in what was stacked.

    Embeddings on a device are answered there. The heads are copied to it once, and stay there as long as the stack.

    Attributes:
        nbytes: the size of the weights.
        independent: whether the labels of these heads are.
    """

    def __init__(self, heads: Sequence[Head], positions: Sequence[int]) -> None:
        self.positions = positions
        self.labels = [head.labels for head in heads]
        self.backbone = heads[0].backbone
        self.independent = heads[0].independent
        self._centre = heads[0].options.centre
        self._weights = [head.weight for head in heads]
        self._bias = np.concatenate([head.bias for head in heads])
        self._temperature = np.array([[head.options.temperature] for head in heads])
        self.nbytes = sum(weight.nbytes for weight in self._weights)
        self._there: tuple[object, Array, Array, Array] | None = None

    def gather(self) -> None:
        """Copies the weights to adjacent memory. That pays if the stack is applied again and again."""
        self._weights = list(_gathered(self._weights))

    def probabilities(self, embeddings: Array, space: EmbeddingSpace) -> Array:
        """Returns the same as `Head.probabilities`, to float32 rounding.

        Args:
            embeddings: (N, D), made by the backbone of `space`, whose mean is on the same device.

        Returns:
            (T, N, K), float64, on the device of the embeddings.

        Raises:
            BackboneMismatch: `space` is not the one that these heads were fitted in.
        """
        if space.backbone != self.backbone:
            raise BackboneMismatch(f"heads fitted on {self.backbone} cannot read embeddings of {space.backbone}")
        features = space.features(embeddings, self._centre)
        if not isinstance(features, np.ndarray):
            return self._on_device(features)
        scores = _products(features, _gathered(self._weights), len(self._bias)) + self._bias
        by_head = scores.reshape(len(features), len(self.labels), len(self.labels[0]))
        shares = sigmoid(by_head / self._temperature) if self.independent else softmax(by_head, self._temperature)
        return shares.swapaxes(0, 1)

    def _on_device(self, features: Array) -> Array:
        """Returns the probabilities for features on a device, from one product."""
        xp, where = array_namespace(features), device(features)
        if self._there is None or self._there[0] != where:
            arrays = np.concatenate(self._weights), self._bias, self._temperature
            weight, bias, temperature = (xp.asarray(array, device=where) for array in arrays)
            self._there = where, weight, bias, temperature
        _, weight, bias, temperature = self._there
        scores = xp.reshape(features @ weight.mT + bias, (len(features), len(self.labels), len(self.labels[0])))
        scaled = xp.astype(scores, xp.float64) / temperature
        shares = 0.5 * (1.0 + xp.tanh(0.5 * scaled)) if self.independent else newton.softmax(xp, scaled)
        return xp.permute_dims(shares, (1, 0, 2))


def stack_heads(heads: Sequence[Head | None]) -> list[HeadStack]:
    """Returns the heads in stacks of equal backbone, centring, shape and independence. None stands for a missing head and is
    passed over.
    """
    alike: dict[tuple[object, ...], tuple[list[Head], list[int]]] = {}
    for position, head in enumerate(heads):
        if head is not None:
            kind = head.backbone, head.options.centre, head.weight.shape, head.independent
            some, positions = alike.setdefault(kind, ([], []))
            some.append(head)
            positions.append(position)
    return [HeadStack(some, positions) for some, positions in alike.values()]


def _gathered(weights: Sequence[Float32]) -> Iterator[Float32]:
    """The weights, in groups of as many as go into one product. Weights gathered before stay as they are."""
    at_once = max(1, _PRODUCT // weights[0].size)
    for start in range(0, len(weights), at_once):
        some = weights[start : start + at_once]
        yield some[0] if len(some) == 1 else np.concatenate(some)


def _products(features: Float32, weights: Iterable[Float32], columns: int) -> Float32:
    """Returns features @ weight.T for each of the weights, side by side, (N, columns)."""
    count, dim = features.shape
    rows = max(1, _PRODUCT // (dim * max(1, min(count, _EMBEDDINGS))))
    products = np.empty((count, columns), np.float32)
    left = 0
    for weight in weights:
        for start in range(0, len(weight), rows):
            some = weight[start : start + rows].T
            right = left + some.shape[1]
            for at in range(0, count, _EMBEDDINGS):
                np.matmul(features[at : at + _EMBEDDINGS], some, out=products[at : at + _EMBEDDINGS, left:right])
            left = right
    return products
