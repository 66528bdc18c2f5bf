"""How well are wrong labels found, on pictures of many kinds? Our suspects beside cleanlab's, on the same embeddings.

    pip install cleanlab
    python -m benchmarks.suspects --data DATA --keep kept --json suspects.json

5-way tasks of each domain's novel classes, in which a tenth of the examples has another label of the task. The last column is
the share of examples that are found where all labels are right.

cleanlab judges by a logistic regression cross-validated in five folds, as its documentation does. It runs with its default
filter, with its most cautious one, and with the default one on the left-out probabilities of the head that serves. Precision and
recall are of all episodes together; intervals are percentiles of a thousand bootstrap samples of the episodes.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, open_embedder, parts
from benchmarks.shared.command import write_json
from models.bundle import Bundle
from models.examples.suspects import suspects
from models.heads.head import Float32, features
from models.heads.leave_one_out import leave_one_out
from models.heads.temperature import options_for
from training.evaluation.episodes import Embedded

_WAYS, _WRONG, _FOLDS = 5, 0.1, 5
_SHOTS = (5, 10, 20)
_SAMPLES = 1000

Labels = NDArray[np.int64]
Found = NDArray[np.bool_]


@dataclass(frozen=True)
class Share:
    """A share of examples with its 95 % interval, in percent."""

    percent: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.percent:.1f} ({self.least:.1f}, {self.most:.1f})"


def main(argv: Sequence[str] | None = None) -> None:
    arguments = domain_parser("suspects", __doc__, episodes=100).parse_args(argv)
    warnings.filterwarnings("ignore", module="sklearn")  # of folds without an example of some class
    embedder = open_embedder(arguments)
    rows = []
    print(f"{'domain':<12}{'shots':>6} {'':<34}{'precision, %':>22}{'recall, %':>22}{'of right labels, %':>22}")
    for domain, part in parts(arguments):
        classes = embedder.embed(domain, part)
        for shots in _SHOTS:
            counts: dict[str, list[tuple[int, ...]]] = {}
            with threadpool_limits(1, user_api="blas"):
                for index in range(arguments.episodes):
                    rng = np.random.default_rng((arguments.seed, shots, index))
                    embeddings, truth, labels = _episode(classes, shots, rng)
                    right, wrong = _judge(embedder.bundle, embeddings, truth), labels != truth
                    for name, found in _judge(embedder.bundle, embeddings, labels).items():
                        numbers = (found & wrong).sum(), found.sum(), wrong.sum(), right[name].sum(), len(labels)
                        counts.setdefault(name, []).append(tuple(map(int, numbers)))
            for name, episodes in counts.items():
                shares = precision, recall, clean = _shares(np.array(episodes))
                row = {"domain": domain.name, "shots": shots, "way": name}
                rows.append(row | {"precision": asdict(precision), "recall": asdict(recall), "of_right_labels": asdict(clean)})
                print(f"{domain.name:<12}{shots:>6} {name:<34}{''.join(f'{share!s:>22}' for share in shares)}", flush=True)
    write_json(arguments.json, rows)


def _episode(classes: Embedded, shots: int, rng: np.random.Generator) -> tuple[Float32, Labels, Labels]:
    """Embeddings (n, D) of 5 classes, their true labels and given ones; every class keeps two examples."""
    large = [images for images in classes.by_class if len(images) >= shots]
    chosen = rng.choice(len(large), _WAYS, replace=False)
    images = np.concatenate([rng.choice(large[k], shots, replace=False) for k in chosen])
    truth = np.repeat(np.arange(_WAYS), shots)
    while True:
        labels = truth.copy()
        wrong = rng.choice(len(truth), max(1, round(_WRONG * len(truth))), replace=False)
        labels[wrong] = (truth[wrong] + rng.integers(1, _WAYS, len(wrong))) % _WAYS
        if np.bincount(labels, minlength=_WAYS).min() > 1:
            return classes.embeddings[images], truth, labels


def _judge(bundle: Bundle, embeddings: Float32, labels: Labels) -> Mapping[str, Found]:
    """Returns the examples that each way takes for wrong, bool (n,)."""
    prototype = bundle.manifest.head.options("prototype")
    options = options_for(bundle.manifest.head, None, embeddings, labels, bundle.feature_mean)
    x = features(embeddings, bundle.feature_mean if options.centre else None)
    ours = np.zeros(len(labels), bool)
    centred = features(embeddings, bundle.feature_mean if prototype.centre else None)
    ours[[suspect.example for suspect in suspects(centred, labels, _WAYS, prototype)]] = True
    folds = StratifiedKFold(min(_FOLDS, int(np.bincount(labels).min())))
    validated = cross_val_predict(LogisticRegression(max_iter=1000), x, labels, cv=folds, method="predict_proba")
    left_out = leave_one_out(x, labels, _WAYS, options).probabilities
    return {
        "ours": ours,
        "cleanlab": find_label_issues(labels, validated),
        "cleanlab, low_self_confidence": find_label_issues(labels, validated, filter_by="low_self_confidence"),
        "cleanlab, left-out probabilities": find_label_issues(labels, left_out),
    }


def _shares(counts: NDArray[np.int64]) -> tuple[Share, Share, Share]:
    """Returns precision, recall and the share found among right labels, of episodes (E, 5).

    The five numbers are: found and wrong, found, wrong, found where all labels are right, and the number of examples there.
    """
    drawn = np.random.default_rng(0).integers(len(counts), size=(_SAMPLES, len(counts)))
    samples = counts[drawn].sum(axis=1)
    shares = []
    for part, of in ((0, 1), (0, 2), (3, 4)):
        percents = 100 * samples[:, part] / np.maximum(samples[:, of], 1)
        least, most = np.percentile(percents, (2.5, 97.5))
        shares.append(Share(float(100 * counts[:, part].sum() / max(1, counts[:, of].sum())), float(least), float(most)))
    return shares[0], shares[1], shares[2]


if __name__ == "__main__":
    main()
