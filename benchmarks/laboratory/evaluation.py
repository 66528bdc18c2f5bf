"""The measurement of every method of `benchmarks.laboratory meta`: the code that serves, and the method's own classifier beside
it.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.laboratory.learners import WAYS, Learner
from benchmarks.laboratory.record import Accuracy, Scores
from models.manifest import HeadOptions
from training.data.dataset import ImageSet
from training.evaluation.episodes import Episode, EpisodeSampler
from training.evaluation.evaluate import score

SHOTS = (1, 5)
QUERIES = 15
HEADS = {
    "logistic": HeadOptions(solver="logistic", C=3.0, temperature=1.0, centre=False),
    "prototype": HeadOptions(solver="prototype", C=1.0, temperature=1.0, centre=False),
}
OWN = "own"
_BATCH = 256
_STACK = 20  # Episodes that a method's own classifier adapts to at once.


class Evaluator:
    """Few-shot accuracy on one part's classes. Every method and every call gets the same episodes.

    Args:
        part: images of validation or novel classes.
        episodes: per number of shots.
        own_episodes: of these, the number for methods' own classifiers, whose inner loops can be a hundred times as expensive.
    """

    def __init__(self, part: ImageSet, episodes: int, own_episodes: int, seed: int, device: torch.device) -> None:
        self._pixels = torch.from_numpy(part.images).to(device)
        self._samplers = [EpisodeSampler(part.indices_by_class(), WAYS, shots, QUERIES, seed) for shots in SHOTS]
        self._episodes = episodes
        self._own_episodes = min(own_episodes, episodes)

    def __call__(self, learner: Learner) -> Scores:
        """Returns shots -> head -> (accuracy, half-width of its 95 % interval), shares of one."""
        learner.prepare_evaluation()
        images = self._pixels.permute(0, 3, 1, 2).float() / 255.0
        with torch.inference_mode():
            embeddings = torch.cat([learner.backbone(batch) for batch in torch.split(images, _BATCH)])
        array = embeddings.cpu().numpy()
        result: Scores = {}
        for sampler in self._samplers:
            scored = {head: score(array, array[0], sampler, self._episodes, options) for head, options in HEADS.items()}
            result[sampler.shots] = {head: (part.accuracy, part.ci95) for head, part in scored.items()}
            own = self._own(learner, images, embeddings, sampler)
            if own is not None:
                result[sampler.shots][OWN] = own
        return result

    @torch.no_grad()
    def _own(self, learner: Learner, images: Tensor, embeddings: Tensor, sampler: EpisodeSampler) -> Accuracy | None:
        accuracies = []
        for drawn in self._stacks(sampler):
            support = torch.as_tensor(np.stack([episode.support for episode in drawn]), device=images.device)
            query = torch.as_tensor(np.stack([episode.query.ravel() for episode in drawn]), device=images.device)
            scores_TqK = learner.own_scores(images, embeddings, support, query)
            if scores_TqK is None:
                return None
            labels_q = torch.arange(WAYS, device=images.device).repeat_interleave(QUERIES)
            accuracies.append((scores_TqK.argmax(dim=2) == labels_q).double().mean(dim=1))
        of_episode = torch.cat(accuracies)
        return float(of_episode.mean()), float(1.96 * of_episode.std() / len(of_episode) ** 0.5)

    def _stacks(self, sampler: EpisodeSampler) -> Iterator[list[Episode]]:
        for start in range(0, self._own_episodes, _STACK):
            yield [sampler.episode(index) for index in range(start, min(start + _STACK, self._own_episodes))]
