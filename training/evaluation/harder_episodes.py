"""Harder episodes: of classes that are alike, or of broader classes, each made of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.heads.head import Float32
from training.data.dataset import DataError
from training.evaluation.episodes import Episode, EpisodeSampler, Indices

_AMONG = 1.5  # classes that are alike are drawn from so many times as many


@dataclass(frozen=True)
class BroadSampler(EpisodeSampler):
    """Draws each class of an episode as `merged` classes, all different, and its images from these in equal shares.

    Raises:
        DataError: as `EpisodeSampler`, or there are fewer classes than `ways * merged`.
    """

    merged: int = 2

    def __post_init__(self) -> None:
        EpisodeSampler.__post_init__(self)
        if len(self.by_class) < self.ways * self.merged:
            raise DataError(f"{self.ways} classes of {self.merged} each need {self.ways * self.merged}, got {len(self.by_class)}")

    def episode(self, index: int) -> Episode:
        """Returns the episode of that number; `classes` are the first of each merged group."""
        rng = np.random.Generator(np.random.PCG64((self.seed, self.ways, self.shots, index, self.merged)))
        drawn = rng.choice(len(self.by_class), (self.ways, self.merged), replace=False)
        each = self.shots + self.queries
        pools = [np.concatenate([rng.choice(self.by_class[k], each, replace=False) for k in some]) for some in drawn]
        images = np.stack([rng.choice(pool, each, replace=False) for pool in pools])
        return Episode(drawn[:, 0], images[:, : self.shots], images[:, self.shots :])


@dataclass(frozen=True)
class AlikeSampler(EpisodeSampler):
    """Draws a class, and then the episode's classes from those most like it, itself among them.

    Args:
        nearest: for each class, all classes, the most alike first; see `nearest_classes`.
    """

    nearest: Indices

    def episode(self, index: int) -> Episode:
        """Returns the episode of that number."""
        rng = np.random.Generator(np.random.PCG64((self.seed, self.ways, self.shots, index)))
        among = self.nearest[rng.integers(len(self.by_class)), : int(_AMONG * self.ways)]
        classes = rng.choice(among, self.ways, replace=False)
        images = np.stack([rng.choice(self.by_class[k], self.shots + self.queries, replace=False) for k in classes])
        return Episode(classes, images[:, : self.shots], images[:, self.shots :])


def nearest_classes(features: Float32, by_class: Sequence[Indices]) -> Indices:
    """Returns, for each class, all classes in the order of the cosines between their means and its own, (C, C).

    Args:
        features: (N, D).
    """
    means = np.stack([features[images].mean(axis=0) for images in by_class])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    nearest: Indices = np.argsort(-(means @ means.T), axis=1, kind="stable")
    return nearest
