"""The space in which queries are compared with a task: features of norm one, with what most images share removed.

A bundle with a law takes the features f of norm one and shifts them by a part of the background's mean ḡ. Then it shrinks the
background's principal directions v_j. A direction shrinks the more, the more its variance λ_j exceeds the mean variance λ̄ over
all dimensions:

    x = f − a ḡ,    y = x − Σ_j (1 − √(s λ̄ / (λ_j + s λ̄))) ⟨x, v_j⟩ v_j,    y / ‖y‖

This is whitening by the background's covariance, shrunk towards a multiple of the identity (Ledoit & Wolf, 2004). It covers the
first directions only: the rest vary so little that whitening would leave them as they are. Along the first directions kinds of
picture differ, or the light; along the others classes of one kind do.

Shape legend: D features, M background, r directions.
"""

from dataclasses import dataclass

import numpy as np

from models.arrays import Array
from models.heads.head import Float32, features
from models.manifest import NoveltyLaw

_NOTHING = 1e-5  # of the greatest deviation


@dataclass(frozen=True, slots=True, eq=False)
class NoveltySpace:
    """Makes features of embeddings.

    Attributes:
        normalise: whether embeddings are of norm one before they are centred.
        centre: (D,) subtracted from them.
        directions: (r, D) orthonormal; none where a bundle has no law.
        less: (r,) the share that is removed along each direction.
    """

    normalise: bool
    centre: Array
    directions: Array
    less: Array

    @classmethod
    def centred(cls, centre: Float32) -> "NoveltySpace":
        """Returns the space of embeddings less `centre` (D,), of norm one."""
        return cls(False, centre, np.zeros((0, len(centre)), np.float32), np.zeros(0, np.float32))

    @classmethod
    def of(cls, background: Float32, law: NoveltyLaw) -> "NoveltySpace":
        """Returns the space of a law, for a background (M, D) of features of norm one that are not centred."""
        mean = background.mean(axis=0)
        _, singular, vectors = np.linalg.svd(background - mean, full_matrices=False)
        first = np.flatnonzero(singular > _NOTHING * singular[0])[: law.directions]
        variances = singular.astype(np.float64) ** 2
        floor = law.shrinkage * float(variances.sum()) / background.shape[1]
        less = 1.0 - np.sqrt(floor / (variances[first] + floor))
        return cls(True, np.float32(law.centring) * mean, vectors[first], less.astype(np.float32))

    def features(self, embeddings: Array) -> Array:
        """Returns features (…, D) of norm one, of embeddings (…, D), on the device of both."""
        if not self.normalise:
            return features(embeddings, self.centre)
        x = features(embeddings, None) - self.centre
        return features(x - (x @ self.directions.T * self.less) @ self.directions, None)
