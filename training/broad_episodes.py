"""Episodes whose classes are broader than those of the images: each is several of them taken together."""

from dataclasses import dataclass

import numpy as np

from training.data import DataError
from training.episodes import Episode, EpisodeSampler


@dataclass(frozen=True)
class BroadSampler(EpisodeSampler):
    """Draws each class of an episode as `merged` classes, all different, and its images from these in equal shares.

    Raises:
        DataError: as `EpisodeSampler`, or there are fewer classes than `ways * merged`.
    """

    merged: int = 1

    def __post_init__(self) -> None:
        EpisodeSampler.__post_init__(self)
        if len(self.by_class) < self.ways * self.merged:
            raise DataError(f"{self.ways} classes of {self.merged} each need {self.ways * self.merged}, got {len(self.by_class)}")

    def episode(self, index: int) -> Episode:
        """The episode of that number; `classes` are the first of those taken together."""
        rng = np.random.Generator(np.random.PCG64((self.seed, self.ways, self.shots, index, self.merged)))
        drawn = rng.choice(len(self.by_class), (self.ways, self.merged), replace=False)
        each = self.shots + self.queries
        pools = [np.concatenate([rng.choice(self.by_class[k], each, replace=False) for k in some]) for some in drawn]
        images = np.stack([rng.choice(pool, each, replace=False) for pool in pools])
        return Episode(drawn[:, 0], images[:, : self.shots], images[:, self.shots :])
