"""Many heads on the same embeddings: gathered by centring and number of classes, and applied as matrix products."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.heads import BackboneMismatch, EmbeddingSpace, Float32, Head, softmax

# Multiplications of one product: what is gathered for it stays in the core's cache, and OpenBLAS runs larger ones on several
# threads, which beside other work wait for one another many times as long as they compute.
_PRODUCT = 2**17


def apply_heads(
    heads: Sequence[Head], embeddings: Float32, space: EmbeddingSpace
) -> Iterator[tuple[list[int], NDArray[np.float64]]]:
    """The probabilities that `Head.probabilities` gives, to float32 rounding, of T heads of K classes at a time.

    Args:
        embeddings: (N, D), made by the backbone of `space`.

    Yields:
        The positions in `heads` of T of them, each once in all, and their probabilities (T, N, K).

    Raises:
        BackboneMismatch: one of the heads was not fitted in `space`; before anything is yielded.
    """
    alike: dict[tuple[bool, int], list[int]] = {}
    for position, head in enumerate(heads):
        if head.backbone != space.backbone:
            raise BackboneMismatch(f"a head fitted on {head.backbone} cannot read embeddings of {space.backbone}")
        alike.setdefault((head.options.centre, len(head.labels)), []).append(position)
    for (centre, ways), positions in alike.items():
        some = [heads[position] for position in positions]
        scores = _scores(some, ways, space.features(embeddings, centre))
        temperature = np.array([[head.options.temperature] for head in some])
        yield positions, softmax(scores.reshape(len(embeddings), len(some), ways), temperature).swapaxes(0, 1)


def _scores(heads: Sequence[Head], ways: int, features: Float32) -> Float32:
    """W f + b of heads of as many classes each: (N, ways of all)."""
    count, dim = features.shape
    rows = max(1, min(count, _PRODUCT // (ways * dim)))
    at_once = max(1, _PRODUCT // (ways * dim * rows))
    scores = np.empty((count, len(heads) * ways), np.float32)
    for start in range(0, len(heads), at_once):
        weight = np.concatenate([head.weight for head in heads[start : start + at_once]])
        columns = slice(start * ways, (start + at_once) * ways)
        for row in range(0, count, rows):
            np.matmul(features[row : row + rows], weight.T, out=scores[row : row + rows, columns])
    scores += np.concatenate([head.bias for head in heads])
    return scores
