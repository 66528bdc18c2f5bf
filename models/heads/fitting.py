"""Fits the last layer on support features and labels, on whichever array library holds them.

Written against the Python array API standard: NumPy arrays are fitted on the CPU, PyTorch tensors where they live, in float64
on either. Every solver works on a stack of T tasks at once; a single task is a stack of one.

Shape legend: T tasks, n examples of a task, D features, K classes (ways).

With n < D the solution lies in the span of the examples (representer theorem). So the problem is solved in that span and mapped
back: 25 examples cost a 25-wide problem and not a 640-wide one.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from numpy.typing import NDArray

from models.arrays import Array, Ints, on_host
from models.heads.head import EmbeddingSpace, Head
from models.heads.solvers import METHODS
from models.manifest import HeadOptions

_Class = TypeVar("_Class", bound=Hashable)

_CACHED = 500_000  # float64 numbers: on a CPU, tasks are fitted as many at once as its caches hold.


def fit_head(embeddings: Array, labels: Sequence[str], space: EmbeddingSpace, options: HeadOptions) -> Head:
    """Fits one task's head on its support set.

    A support set's class sizes do not predict how often a class will be asked for. A logistic head's intercept learns them, so
    it is corrected to expect every class equally often (`expected_by_share`).

    Args:
        embeddings: (n, D), made by the backbone of `space`, whose mean is on the same device. The head itself is in the host's
            memory; it is copied there when it is finished, at once.
        labels: n labels; the classes take the order of their first example.

    Raises:
        ValueError: there are fewer than two classes, or not as many labels as embeddings.
    """
    classes, indices = classes_of(labels)
    if len(classes) < 2:
        raise ValueError("a head needs at least two classes")
    linear = fit_linear(embeddings, indices, len(classes), space, options).on_host()
    return Head(classes, linear.weight, linear.bias, options, space.backbone)


def fit_linear(embeddings: Array, labels: Ints, ways: int, space: EmbeddingSpace, options: HeadOptions) -> "Linear":
    """Returns the weight and bias of `fit_head`, float32, in the memory that the embeddings are in.

    On a device, nothing but a few numbers that steer the fit comes to the host.

    Args:
        embeddings: (n, D), made by the backbone of `space`, whose mean is on the same device.
        labels: (n,) integers in [0, ways), in the host's memory; every class has at least one example.
        ways: K, at least 2.

    Raises:
        ValueError: the shapes disagree, a class has no example, or a label is no class.
    """
    xp = array_namespace(embeddings)
    linear = fit(space.features(embeddings, options.centre), labels, ways, options)
    bias = linear.bias
    if METHODS[options.solver].learns_shares:
        bias = bias - xp.asarray(expected_by_share(np.bincount(labels)), device=device(bias))
    return Linear(xp.astype(linear.weight, xp.float32), xp.astype(bias, xp.float32))


def classes_of(labels: Sequence[_Class]) -> tuple[tuple[_Class, ...], NDArray[np.int64]]:
    """Returns the K classes in the order of their first example, and the class of each of the n labels, (n,) in [0, K).

    In a task of several labels an image, a class here is a set of labels.
    """
    classes = tuple(dict.fromkeys(labels))
    index = {label: k for k, label in enumerate(classes)}
    return classes, np.array([index[label] for label in labels])


def expected_by_share(counts: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """Returns the part of a logistic head's logits that comes from unequal class sizes.

    A logistic head adds it to the logit that a class would have with equal sizes. Source: logit adjustment, Menon et al.,
    Long-Tail Learning via Logit Adjustment, ICLR 2021, equation 9.

    Args:
        counts: (…, K) examples of each class, at least 1.

    Returns:
        (…, K); zeros where all classes have equally many.
    """
    logs: NDArray[np.float64] = np.log(counts / counts.mean(axis=-1, keepdims=True))
    return logs


@dataclass(frozen=True, slots=True)
class Linear:
    """The last layer: weight (…, K, D) and bias (…, K); scores are `features @ weight.T + bias`."""

    weight: Array
    bias: Array

    def on_host(self) -> "Linear":
        """Returns the same in NumPy arrays, brought by one copy. NumPy arrays stay as they are."""
        if is_numpy_array(self.weight):
            return self
        together = on_host(array_namespace(self.weight).concat([self.weight, self.bias[..., None]], axis=-1))
        return Linear(np.ascontiguousarray(together[..., :-1]), np.ascontiguousarray(together[..., -1]))


def fit(features: Array, labels: Array, ways: int, options: HeadOptions) -> Linear:
    """Fits the last layer of one task, or of a stack of tasks of equal shape.

    Args:
        features: (n, D) or (T, n, D), as `models.heads.head.features` makes them.
        labels: integers (n,) or (T, n) in [0, ways); every class has at least one example. On the features' device or, which
            spares the device a question, a NumPy array.
        ways: K, at least 2.
        options: the solver and its C. Solvers ignore centring and temperature.

    Returns:
        weight (K, D) and bias (K,), or (T, K, D) and (T, K), float64, on the features' device.

    Raises:
        ValueError: the shapes disagree, a class has no example, or a label is no class.
    """
    xp = array_namespace(features)
    single = features.ndim == 2
    if single:
        features, labels = features[None], labels[None]
    if features.ndim != 3 or labels.shape != features.shape[:2]:
        raise ValueError(f"features {features.shape} and labels {labels.shape} do not belong together")
    tasks, n, D = features.shape
    at_once = max(1, _CACHED // max(1, n * D) if is_numpy_array(features) else tasks)
    parts = [
        _fit(xp, features[start : start + at_once], labels[start : start + at_once], ways, options)
        for start in range(0, max(1, tasks), at_once)
    ]
    if single:
        (part,) = parts
        return Linear(part.weight[0], part.bias[0])
    return Linear(xp.concat([part.weight for part in parts]), xp.concat([part.bias for part in parts]))


def _fit(xp: Any, features: Array, labels: Array, ways: int, options: HeadOptions) -> Linear:
    x_TnD = xp.astype(features, xp.float64)
    y_TnK = _one_hot(labels, ways)
    own = array_namespace(labels)
    if not bool(own.all(own.any(y_TnK, axis=1)) & own.all(own.any(y_TnK, axis=2))):
        raise ValueError("every class needs at least one example, and every label must be in [0, ways)")
    if own is not xp:
        y_TnK = _one_hot(xp.asarray(labels, device=device(features)), ways)
    return Linear(*METHODS[options.solver].fit(xp, x_TnD, xp.astype(y_TnK, xp.float64), options.C))


def _one_hot(labels: Array, ways: int) -> Array:
    """Returns which of the classes each label is, bool (…, K)."""
    return labels[..., None] == array_namespace(labels).arange(ways, dtype=labels.dtype, device=device(labels))
