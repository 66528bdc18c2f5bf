"""Few-shot scores of bundles on domains, kept from run to run, and their means and paired differences."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import models
import training
from benchmarks.accuracy.domain_data import Domain, Embedder, save
from benchmarks.accuracy.novel_classes import interval
from models.bundle import Bundle
from models.heads.head import features
from models.heads.temperature import Law, law_of
from training.data.class_split import Part
from training.evaluation.episodes import SHOTS, Embedded, EpisodeSampler, affordable_queries
from training.evaluation.evaluate import calibration_error, run_episodes


@dataclass(frozen=True)
class Protocol:
    """The drawing of episodes: their ways, always with 1 and 5 shots; `part` replaces the one that a domain names."""

    ways: Sequence[int]
    episodes: int
    seed: int
    part: Part | None = None

    def part_of(self, domain: Domain) -> Part:
        """Returns the part of a domain to measure on."""
        return self.part or domain.part


@dataclass(frozen=True, eq=False)
class Cell:
    """A bundle's scores on one kind of task of one domain.

    Attributes:
        accuracies: (T,) of each episode, a share of one.
        ece: expected calibration error over all queries.
    """

    domain: str
    ways: int
    shots: int
    queries: int
    accuracies: NDArray[np.float64]
    ece: float


@dataclass(frozen=True)
class Figures:
    """A mean with half its 95 % interval, the calibration error, and the paired difference from another bundle's."""

    accuracy: float
    ci95: float
    ece: float
    difference: float = 0.0
    difference_ci95: float = 0.0


def measure(embedder: Embedder, domain: Domain, protocol: Protocol, law: Law | None = None) -> Iterator[Cell]:
    """Yields a cell per ways and shots, for the ways that the domain has enough classes for. It yields none without classes of
    that part.

    Each class has as many queries as the smallest affords, 15 at most. Kept scores are made anew when the bundle, the images or
    the code changes.

    Args:
        law: the temperatures' law; None for the bundle's own.

    Raises:
        DataError: the images cannot be used.
    """
    law = law or law_of(embedder.bundle.manifest.head)
    part = protocol.part_of(domain)
    if not domain.read_split(embedder.data).classes(part):
        return
    embedded = embedder.embed(domain, part)
    queries = affordable_queries(embedded.by_class, max(SHOTS))
    for ways, shots in product(protocol.ways, SHOTS):
        if ways <= len(embedded.by_class):
            sampler = EpisodeSampler(embedded.by_class, ways, shots, queries, protocol.seed)
            key = _cell_key(embedder, domain, part, sampler, protocol.episodes, law)
            file = embedder.keep and embedder.keep / f"cell-{key}.npz"
            accuracies, ece = _kept(file, embedder.bundle, embedded, sampler, protocol.episodes, law)
            yield Cell(domain.name, ways, shots, queries, accuracies, ece)


def figures(cells: Sequence[Cell], beside: Sequence[Cell] = ()) -> Figures:
    """Returns the figures of one domain, or the mean of several, and the difference from the same cells of another bundle.

    The episodes of two domains are drawn apart, so the variances of their means add up.
    """
    accuracy, ci95 = _mean([cell.accuracies for cell in cells])
    ece = float(np.mean([cell.ece for cell in cells]))
    pairs = [mine.accuracies - other.accuracies for mine, other in zip(cells, beside, strict=True)] if beside else []
    return Figures(accuracy, ci95, ece, *_mean(pairs)) if pairs else Figures(accuracy, ci95, ece)


def _mean(values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    half_widths = np.array([interval(of_domain) for of_domain in values])
    return float(np.mean([of_domain.mean() for of_domain in values])), float(np.sqrt(np.sum(half_widths**2)) / len(values))


def _kept(
    file: Path | None, bundle: Bundle, embedded: Embedded, sampler: EpisodeSampler, episodes: int, law: Law | None
) -> tuple[NDArray[np.float64], float]:
    if file is not None and file.exists():
        with np.load(file) as kept:
            return kept["accuracies"], float(kept["ece"])
    accuracies, ece = _score(bundle, embedded, sampler, episodes, law)
    if file is not None:
        save(file, accuracies=accuracies, ece=np.array(ece))
    return accuracies, ece


def _score(
    bundle: Bundle, embedded: Embedded, sampler: EpisodeSampler, episodes: int, law: Law | None
) -> tuple[NDArray[np.float64], float]:
    """Returns the accuracy of each episode, and the calibration error of all."""
    options = bundle.manifest.head.options()
    space = features(embedded.embeddings, bundle.feature_mean if options.centre else None)
    accuracies, confidences, correct = [], [], []
    for outcomes in run_episodes(space, sampler, episodes, options, law):
        hits = outcomes.scores.argmax(axis=-1) == outcomes.labels
        accuracies.append(hits.mean(axis=1))
        confidences.append(outcomes.probabilities.max(axis=-1).ravel())
        correct.append(hits.ravel())
    return np.concatenate(accuracies), calibration_error(np.concatenate(confidences), np.concatenate(correct))


def _cell_key(embedder: Embedder, domain: Domain, part: Part, sampler: EpisodeSampler, episodes: int, law: Law | None) -> str:
    manifest = embedder.bundle.manifest
    head = [
        manifest.head.options().model_dump_json(),
        law.model_dump_json() if law else "",
        embedder.bundle.feature_mean.tobytes().hex(),
    ]
    task = [str(n) for n in (sampler.ways, sampler.shots, sampler.queries, sampler.seed, episodes)]
    return hashlib.sha256("\n".join([embedder.key(domain, part), *head, *task, _code()]).encode()).hexdigest()[:24]


@cache
def _code() -> str:
    """Returns a hash of the code that makes scores of embeddings: heads, temperatures, episodes."""
    files = [Path(__file__), *(Path(training.__path__[0], "evaluation", name) for name in ("episodes.py", "evaluate.py"))]
    files += sorted(Path(models.__path__[0]).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
