"""Embeddings to answers as ONNX operators: what `models.answers.classifier.Classifier.answer` computes with NumPy.

Shape legend: N images, D features, K classes, n examples, M negatives.
"""

import numpy as np

from exporting.names import KNOWN, NOVELTY, PROBABILITIES
from exporting.steps import Steps, Value
from models.answers.classifier import Classifier
from models.answers.verdicts import APPLIES, JUST_UNKNOWN
from models.heads.head import Float32, Head
from models.novelty.detector import KAPPA_WITHOUT_LAW, WEIGHT_WITHOUT_LAW, WIDTH, Background
from models.novelty.negatives import SOFTNESS, WEIGHT
from models.novelty.space import NoveltySpace
from models.novelty.support_index import SupportIndex

_TOLD = 10_000.0  # novelty is told in ten-thousandths, and known by what is told


def answer(steps: Steps, embeddings: Value, classifier: Classifier, mean: Float32, background: Background) -> None:
    """Adds the steps from embeddings (N, D) to the outputs.

    Args:
        mean: (D,) the bundle's `feature_mean`.
        background: of the backbone of the embeddings.
    """
    head, index = classifier.head, classifier.index
    scores = logits(embeddings, head, mean)
    if head.independent:
        probabilities = steps("Sigmoid", scores, output=PROBABILITIES)
    else:
        probabilities = steps("Softmax", scores, output=PROBABILITIES, axis=-1)
    if index is None:
        novelty = _novelty_of_labels(probabilities)
    else:
        novelty = ((index.threshold - _familiarity(steps, embeddings, index, background)) / WIDTH).apply("Sigmoid")
    told = steps("Squeeze", (novelty * _TOLD).apply("Round"), steps.integers(1))
    steps("LessOrEqual", told, steps.constant(0.5 * _TOLD, np.float32), output=KNOWN)
    steps("Div", told, steps.constant(_TOLD, np.float32), output=NOVELTY)


def logits(embeddings: Value, head: Head, mean: Float32) -> Value:
    """Returns what softmax, or where labels are independent sigmoid, makes probabilities of, (N, K)."""
    f = _features(embeddings, mean if head.options.centre else None)
    return (f @ head.weight.T + head.bias) / head.options.temperature


def _features(embeddings: Value, mean: Float32 | None) -> Value:
    """Returns `models.heads.head.features`."""
    centred = embeddings if mean is None else embeddings - mean
    norms = (centred * centred).reduced("ReduceSum", 1).apply("Sqrt")
    return centred / norms.at_least(float(np.finfo(np.float32).smallest_normal))


def _in_space(embeddings: Value, space: NoveltySpace) -> Value:
    """Returns `NoveltySpace.features`."""
    if not space.normalise:
        return _features(embeddings, space.centre)
    x = _features(embeddings, None) - space.centre
    return _features(x - (x @ space.directions.T * space.less) @ space.directions, None)


def _familiarity(steps: Steps, embeddings: Value, index: SupportIndex, background: Background) -> Value:
    """Returns the familiarity (N, 1) of `models.novelty.detector`."""
    codes = steps.stored(index.codes.T).cast(np.float32)  # eight bits in the file
    cosines = _in_space(embeddings, background.space) @ codes * index.scales
    end = index.ways + index.examples
    to_means, nearest = cosines.columns(0, index.ways), cosines.columns(index.ways, end).reduced("ReduceMax", 1)
    law = background.law
    smooth = _smooth_maximum(to_means, law.kappa if law else KAPPA_WITHOUT_LAW)
    if law:
        familiarity = smooth * (1.0 - law.nearest) + nearest * law.nearest - to_means.reduced("ReduceMean", 1) * law.others
    else:
        typicality = _features(embeddings, None) @ background.direction[:, None]
        familiarity = smooth + (typicality - index.usual).at_most(0.0) * WEIGHT_WITHOUT_LAW
    if len(index.codes) == end:
        return familiarity
    to_negative = cosines.columns(end, len(index.codes)).reduced("ReduceMax", 1)
    return familiarity - ((to_negative - nearest) / SOFTNESS).apply("Softplus") * (WEIGHT * SOFTNESS)


def _smooth_maximum(values: Value, kappa: float) -> Value:
    """Returns 1/κ · log mean exp(κ ·), (N, 1), of values (N, K)."""
    highest = values.reduced("ReduceMax", 1)
    powers = ((values - highest) * kappa).apply("Exp")
    return powers.reduced("ReduceMean", 1).apply("Log") / kappa + highest


def _novelty_of_labels(probabilities: Value) -> Value:
    """Returns `models.answers.verdicts.novelty_of_labels`, (N, 1)."""
    highest = probabilities.reduced("ReduceMax", 1)
    rest = 1.0 - highest
    return highest.below(APPLIES).where(rest.at_least(JUST_UNKNOWN), rest.at_most(0.5))
