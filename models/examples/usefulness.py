"""The order in which captured images teach a task most if a person labels them.

Shape legend: N captures, D features, K classes, n examples.
"""

import numpy as np

from models.arrays import Floats, Ints, Reals
from models.heads.head import Float32

_STRANGER = 0.5  # of novelty, at which an image is taken for none of the classes


def by_usefulness(embeddings: Float32, probabilities: Floats, novelty: Reals, support: Float32) -> Ints:
    """Returns the order of captures, the most useful first: by the margin between the two likeliest classes, strangers last.

    An image near the border of two classes moves the border most (margin sampling, Scheffer et al., IDA 2001). A stranger's
    label is of no class, so it moves none.

    Args:
        embeddings: (N, D).
        probabilities: (N, K), K at least 2.
        novelty: (N,) in [0, 1].
        support: (n, D) embeddings of the examples.

    Returns:
        (N,) positions.
    """
    del embeddings, support
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    order: Ints = np.lexsort((first - second, novelty > _STRANGER))
    return order
