"""How many few-shot episodes are fitted and tested per second? Beside one-at-a-time fitting and scikit-learn.

    python -m benchmarks.evaluation_speed --json evaluation_speed.json

The embeddings are made up: Gaussian classes of 640 numbers, about as separable as those of a trained backbone. Every contestant
gets the same episodes, and each in turn gets its share of every round. So the machine's other work burdens all alike.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import race
from models.arrays import Ints
from models.heads.fitting import fit
from models.heads.head import Float32, features
from models.manifest import HeadOptions
from training.evaluation.episodes import EpisodeSampler
from training.evaluation.evaluate import score

_DIM, _CLASSES, _PER_CLASS, _QUERIES, _SPREAD = 640, 20, 100, 15, 3.0
_OPTIONS = HeadOptions(C=3.0, temperature=0.2, centre=False)
_ROUNDS = 3


def main() -> None:
    parser = benchmark_parser("evaluation_speed", __doc__)
    parser.add_argument("--ways", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5, 10, 20])
    arguments = parser.parse_args()
    embeddings = _embeddings()
    by_class = [np.arange(_PER_CLASS * k, _PER_CLASS * (k + 1)) for k in range(_CLASSES)]
    contestants = {"evaluation": _evaluation, "one at a time": _one_at_a_time, "scikit-learn": _scikit_learn}
    print("episodes per second, and how many times as many the evaluation does")
    print(f"{'ways':>5}{'shots':>7}" + "".join(f"{name:>20}" for name in contestants))
    rows = []
    for ways, shots in product(arguments.ways, arguments.shots):
        sampler = EpisodeSampler(by_class, ways, shots, _QUERIES, seed=1)
        rates = race({name: partial(run, embeddings, sampler) for name, run in contestants.items()}, _ROUNDS)
        medians = {name: rates.median(name) for name in contestants}
        rows.append({"ways": ways, "shots": shots, "episodes_per_second": medians})
        cells = [f"{rate:.1f} ({rates.ratio('evaluation', name).median:.1f})" for name, rate in medians.items()]
        print(f"{ways:>5}{shots:>7}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    write_json(arguments.json, {"dim": _DIM, "queries": _QUERIES, "rows": rows})


def _embeddings() -> Float32:
    """Returns Gaussian embeddings (classes · images of each, D)."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(_CLASSES, _DIM)), _PER_CLASS, axis=0)
    return (centres + _SPREAD * rng.normal(size=centres.shape)).astype(np.float32)


def _evaluation(embeddings: Float32, sampler: EpisodeSampler, episodes: int) -> int:
    score(embeddings, embeddings[0], sampler, episodes, _OPTIONS)
    return episodes


def _one_at_a_time(embeddings: Float32, sampler: EpisodeSampler, episodes: int) -> int:
    for support, labels, query in _episodes(embeddings, sampler, episodes):
        linear = fit(support, labels, sampler.ways, _OPTIONS)
        (query @ linear.weight.T + linear.bias).argmax(axis=1)
    return episodes


def _scikit_learn(embeddings: Float32, sampler: EpisodeSampler, episodes: int) -> int:
    for support, labels, query in _episodes(embeddings, sampler, episodes):
        LogisticRegression(C=_OPTIONS.C, max_iter=1000).fit(support, labels).predict(query)
    return episodes


def _episodes(embeddings: Float32, sampler: EpisodeSampler, episodes: int) -> Iterator[tuple[Float32, Ints, Float32]]:
    """Yields each episode's support features, their labels and its query features."""
    space = features(embeddings, None)
    labels = np.repeat(np.arange(sampler.ways), sampler.shots)
    for index in range(episodes):
        episode = sampler.episode(index)
        yield space[episode.support.ravel()], labels, space[episode.query.ravel()]


if __name__ == "__main__":
    main()
