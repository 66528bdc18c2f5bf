"""Answers of ONNX operators, beside those of the classifiers that servers answer by."""

from dataclasses import replace
from functools import cache

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from exporting.answers import answer
from exporting.steps import Steps, Value
from models.answers.classifier import Classifier
from models.answers.verdicts import verdict_of
from models.bundle import DEFAULT_BUNDLE, PAPER_BUNDLE, SHIPPED, Bundle, find_bundles, open_bundle
from models.heads.fitting import fit_head
from models.heads.head import Float32
from models.novelty.detector import Background
from models.novelty.support_index import SupportIndex

WAYS = 3


def answers(classifier: Classifier, bundle: Bundle, background: Background, embeddings: Float32) -> list[np.ndarray]:
    steps = Steps("answer")
    answer(steps, Value(steps, "z"), classifier, bundle.feature_mean, background)
    outputs = [helper.make_tensor_value_info(name, 0, None) for name in ("probabilities", "known", "novelty")]
    for output, kind in zip(outputs, (TensorProto.FLOAT, TensorProto.BOOL, TensorProto.FLOAT), strict=True):
        output.CopyFrom(helper.make_tensor_value_info(output.name, kind, None))
    inputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", embeddings.shape[1]])]
    graph = helper.make_graph(steps.nodes, "answer", inputs, outputs, steps.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    found: list[np.ndarray] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"z": embeddings})
    return found


open_once = cache(open_bundle)


@pytest.mark.parametrize(
    ("id_", "independent", "negatives", "law"),
    [
        (DEFAULT_BUNDLE, False, 0, True),
        (DEFAULT_BUNDLE, False, 4, True),
        (DEFAULT_BUNDLE, False, 0, False),
        (DEFAULT_BUNDLE, False, 4, False),
        (DEFAULT_BUNDLE, True, 0, True),
        (PAPER_BUNDLE, False, 4, True),
    ],
)
def test_answers_are_those_of_the_classifier(id_: str, independent: bool, negatives: int, law: bool) -> None:
    bundle = open_once(find_bundles(SHIPPED)[id_])
    rng, centres = np.random.default_rng(0), bundle.background[:WAYS]
    labels = np.arange(4 * WAYS) % WAYS

    def around(points: Float32, spread: float) -> Float32:
        return np.asarray(points + spread * bundle.background[rng.integers(0, len(bundle.background), len(points))], np.float32)

    support = around(centres[labels], 0.5)
    space = bundle.space("backbone.onnx")
    head = fit_head(support, [f"class {each}" for each in labels], space, bundle.manifest.head.options())
    background = Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty if law else None)
    strangers = bundle.background[-negatives:] if negatives else None
    index = None if independent else SupportIndex.of(support, labels, background, strangers)
    queries = np.concatenate([around(centres[labels], 0.8), bundle.background[100:140], bundle.background[-6:]])
    if independent:  # of half of the images then no label is likely
        scores = head.options.temperature * np.log(head.probabilities(queries, space).max(axis=1))
        head = replace(
            head, independent=True, bias=head.bias - np.float32(head.options.temperature) - np.float32(np.median(scores))
        )
    classifier = Classifier("task", "name", 1, head, index)

    probabilities, known, novelty = answers(classifier, bundle, background, queries)
    expected, raw = classifier.answer(queries, space, background)
    verdicts = [verdict_of(each) for each in raw.tolist()]
    assert np.abs(probabilities - expected).max() < 1e-5
    assert np.abs(novelty - [told for _, told in verdicts]).max() < 2e-4
    sure = np.abs(raw - 0.5) > 2e-4  # at the threshold itself float32 may decide otherwise
    assert known[sure].tolist() == np.array([each for each, _ in verdicts])[sure].tolist()
    assert len(set(known.tolist())) == 2
