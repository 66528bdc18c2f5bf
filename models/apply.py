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
    count, dim = embeddings.shape
    for (centre, ways), positions in alike.items():
        features = space.features(embeddings, centre)
        rows = max(1, min(count, _PRODUCT // (ways * dim)))
        at_once = max(1, _PRODUCT // (ways * dim * rows))
        for start in range(0, len(positions), at_once):
            some = positions[start : start + at_once]
            weight = np.concatenate([heads[position].weight for position in some])
            bias = np.concatenate([heads[position].bias for position in some])
            temperature = np.array([[heads[position].options.temperature] for position in some])
            scores = np.empty((count, len(bias)), np.float32)
            for row in range(0, count, rows):
                np.matmul(features[row : row + rows], weight.T, out=scores[row : row + rows])
            yield some, softmax((scores + bias).reshape(count, len(some), ways), temperature).swapaxes(0, 1)
