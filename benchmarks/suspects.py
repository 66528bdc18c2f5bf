"""How well are wrong labels found? Our suspects beside cleanlab's, on the same embeddings.

    pip install cleanlab
    python -m benchmarks.suspects --data DATA --json suspects.json

5-way tasks of novel classes, of which a tenth of the examples has another label of the task. cleanlab judges by a logistic
regression cross-validated in five folds, as its documentation does, with its default filter and with its most cautious one;
and with the default one by the left-out probabilities of the head that serves. Precision and recall are of all episodes
together; intervals are percentiles of a thousand bootstrap samples of the episodes.
"""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from benchmarks.command import write_json
from benchmarks.novel_classes import accuracy_parser, embed_part, open_shipped
from models.bundle import Bundle
from models.heads import Float32, features
from models.leave_one_out import leave_one_out
from models.suspects import suspects
from models.temperature import options_for
from training.episodes import Embedded

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


def main() -> None:
    arguments = accuracy_parser("suspects", __doc__, episodes=300).parse_args()
    warnings.filterwarnings("ignore", module="sklearn")  # of folds without an example of some class
    bundle, engine = open_shipped(arguments)
    classes = embed_part(arguments, bundle, engine, "test")
    rows = []
    print(f"{'shots':>6} {'':<34}{'precision, %':>22}{'recall, %':>22}")
    for shots in _SHOTS:
        counts: dict[str, list[tuple[int, int, int]]] = {}
        with threadpool_limits(1, user_api="blas"):
            for index in range(arguments.episodes):
                rng = np.random.default_rng((arguments.seed, shots, index))
                embeddings, labels, wrong = _episode(classes, shots, rng)
                for name, found in _judge(bundle, embeddings, labels).items():
                    counts.setdefault(name, []).append((int((found & wrong).sum()), int(found.sum()), int(wrong.sum())))
        for name, episodes in counts.items():
            precision, recall = _shares(np.array(episodes))
            rows.append({"shots": shots, "way": name, "precision": asdict(precision), "recall": asdict(recall)})
            print(f"{shots:>6} {name:<34}{precision!s:>22}{recall!s:>22}", flush=True)
    write_json(arguments.json, rows)


def _episode(classes: Embedded, shots: int, rng: np.random.Generator) -> tuple[Float32, Labels, Found]:
    """Embeddings (n, D) of 5 classes, their labels, and which of these are wrong; every class keeps two examples."""
    chosen = rng.choice(len(classes.by_class), _WAYS, replace=False)
    images = np.concatenate([rng.choice(classes.by_class[k], shots, replace=False) for k in chosen])
    truth = np.repeat(np.arange(_WAYS), shots)
    while True:
        labels = truth.copy()
        wrong = rng.choice(len(truth), max(1, round(_WRONG * len(truth))), replace=False)
        labels[wrong] = (truth[wrong] + rng.integers(1, _WAYS, len(wrong))) % _WAYS
        if np.bincount(labels, minlength=_WAYS).min() > 1:
            return classes.embeddings[images], labels, labels != truth


def _judge(bundle: Bundle, embeddings: Float32, labels: Labels) -> Mapping[str, Found]:
    """What each way takes for wrong, bool (n,)."""
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


def _shares(counts: NDArray[np.int64]) -> tuple[Share, Share]:
    """Precision and recall of episodes (E, 3): found and wrong, found, wrong."""
    drawn = np.random.default_rng(0).integers(len(counts), size=(_SAMPLES, len(counts)))
    samples = counts[drawn].sum(axis=1)
    shares = []
    for of in (1, 2):
        percents = 100 * samples[:, 0] / np.maximum(samples[:, of], 1)
        least, most = np.percentile(percents, (2.5, 97.5))
        shares.append(Share(float(100 * counts[:, 0].sum() / max(1, counts[:, of].sum())), float(least), float(most)))
    return shares[0], shares[1]


if __name__ == "__main__":
    main()
