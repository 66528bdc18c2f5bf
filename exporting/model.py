"""A task's version as one ONNX file: pixels of any size in; probabilities, known and novelty out.

It is the file of the task's own backbone, with steps before it (`exporting.fit`) and behind it (`exporting.answers`). Its
metadata holds what a reader needs, and golden images with their answers.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import onnx
from onnx import TensorProto, helper, version_converter

from exporting.answers import answer, logits
from exporting.errors import ExportError
from exporting.fit import fit, fit_values
from exporting.golden import Golden, golden_of
from exporting.names import BACKBONE_CARD, GOLDEN, IMAGE, KNOWN, LABELS, LOGITS, NOVELTY, PIXEL_VALUES, PROBABILITIES, TASK
from exporting.steps import Steps, Value
from models.answers.classifier import Classifier
from models.bundle import CARD, ONNX_INT8, Bundle, BundleError, find_file
from models.heads.head import HeadFormatError
from models.novelty.detector import Background

_OPSET = 18  # the first whose reductions take axes as later ones do


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A task's version with the files that it answers by.

    Attributes:
        bundle: of its backbone.
        file: the very file of the bundle that the task was made with.
    """

    classifier: Classifier
    bundle: Bundle
    file: str
    background: Background


def find(document: bytes, bundles: Path | None) -> Found:
    """Reads a classifier as its server sent it, and finds its backbone.

    Args:
        bundles: a folder of bundles, beside those that are shipped.

    Raises:
        ExportError: it is no classifier, or its backbone is missing, another one, damaged, or no ONNX file.
    """
    try:
        classifier = Classifier.from_bytes(document)
        bundle, file = find_file(classifier.head.backbone, bundles)
    except (HeadFormatError, BundleError) as error:
        raise ExportError(str(error)) from error
    if not file.endswith(".onnx"):
        raise ExportError(f"the task was made with {file} of bundle {bundle.id}; only ONNX files can be exported")
    background = Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty)
    return Found(classifier, bundle, file, background)


def to_onnx(found: Found) -> bytes:
    """Returns the ONNX file of a task's version.

    Raises:
        ExportError: its backbone cannot be joined to the rest, or does not run here.
    """
    model = _joined(found)
    golden = golden_of(found.classifier, found.bundle, found.file, found.background)
    helper.set_model_props(model, metadata(found, golden))
    return _finished(model, found)


def to_logits(found: Found) -> bytes:
    """Returns the ONNX file of a task's version for transformers.js, which computes probabilities itself.

    Raises:
        ExportError: as `to_onnx`.
    """
    backbone = _backbone(found)
    pixels, embeddings = _ends(backbone)
    head = found.classifier.head
    before, behind = Steps("levels"), Steps("answer")
    fit_values(before, found.bundle.manifest.input, pixels)
    scores = logits(Value(behind, embeddings), head, found.bundle.feature_mean)
    behind("Identity", scores, output=LOGITS)
    taken = helper.make_tensor_value_info(PIXEL_VALUES, TensorProto.FLOAT, ["N", 3, "H", "W"])
    _join(backbone, before, behind, taken, [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["N", len(head.labels)])])
    return _finished(backbone, found)


def to_answers(found: Found) -> onnx.ModelProto:
    """Returns a model from pixels of the backbone's own size to answers, which other formats are written from.

    Raises:
        ExportError: the backbone's file cannot be read.
    """
    spec = found.bundle.manifest.input
    backbone = _backbone(found)
    pixels, _ = _ends(backbone)
    taken = helper.make_tensor_value_info(pixels, TensorProto.UINT8, ["N", spec.height, spec.width, 3])
    return _with_answers(backbone, found, Steps("fit"), taken)


def _joined(found: Found) -> onnx.ModelProto:
    backbone, before = _backbone(found), Steps("fit")
    pixels, _ = _ends(backbone)
    fit(before, found.bundle.manifest.input, pixels)
    image = helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, ["N", "H", "W", 3])
    return _with_answers(backbone, found, before, image)


def _with_answers(backbone: onnx.ModelProto, found: Found, before: Steps, taken: onnx.ValueInfoProto) -> onnx.ModelProto:
    """Returns the backbone with steps before it and with those to the answers behind it."""
    classifier, (_, embeddings), behind = found.classifier, _ends(backbone), Steps("answer")
    answer(behind, Value(behind, embeddings), classifier, found.bundle.feature_mean, found.background)
    outputs = (
        (PROBABILITIES, TensorProto.FLOAT, ["N", len(classifier.head.labels)]),
        (KNOWN, TensorProto.BOOL, ["N"]),
        (NOVELTY, TensorProto.FLOAT, ["N"]),
    )
    _join(backbone, before, behind, taken, [helper.make_tensor_value_info(*each) for each in outputs])
    return backbone


def _ends(backbone: onnx.ModelProto) -> tuple[str, str]:
    """Returns the names of the only input and the only output."""
    (pixels,), (embeddings,) = backbone.graph.input, backbone.graph.output
    return pixels.name, embeddings.name


def _join(
    model: onnx.ModelProto, before: Steps, behind: Steps, taken: onnx.ValueInfoProto, given: Sequence[onnx.ValueInfoProto]
) -> None:
    """Puts steps before and behind those of a model, whose input and outputs become others."""
    graph = model.graph
    nodes = [*before.nodes, *graph.node, *behind.nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *behind.constants])
    graph.input.append(taken)
    graph.output.extend(given)


def _finished(model: onnx.ModelProto, found: Found) -> bytes:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"bundle {found.bundle.id}: {found.file} cannot be joined to a head: {error}") from error
    return cast("bytes", model.SerializeToString())


def _backbone(found: Found) -> onnx.ModelProto:
    """Returns the backbone's model, of an opset that the other steps are written in."""
    try:
        model = onnx.load_from_string(found.bundle.read(found.file))
        opset = next(each.version for each in model.opset_import if each.domain in {"", "ai.onnx"})
        return model if opset >= _OPSET else version_converter.convert_version(model, _OPSET)
    except Exception as error:  # The converter of a foreign graph may raise anything.
        raise ExportError(f"bundle {found.bundle.id}: {found.file} cannot be read as ONNX {_OPSET}: {error}") from error


def metadata(found: Found, golden: Golden) -> dict[str, str]:
    """Returns what an export of a task's version tells about itself, as texts by their names."""
    classifier, manifest = found.classifier, found.bundle.manifest
    described: dict[str, Any] = {
        "format": 1,
        "task": classifier.task,
        "name": classifier.name,
        "version": classifier.version,
        "several_labels": classifier.head.independent,
        "solver": classifier.head.options.model_dump(),
        "backbone": {"bundle": manifest.id, "file": found.file, "sha256": classifier.head.backbone.sha256},
        "int8": found.file == ONNX_INT8,
        "input": manifest.input.model_dump(),
    }
    card = {BACKBONE_CARD: found.bundle.read(CARD).decode()} if CARD in manifest.files else {}
    labels = json.dumps(classifier.head.labels, ensure_ascii=False)
    return {TASK: json.dumps(described, ensure_ascii=False), LABELS: labels, GOLDEN: golden.to_json(), **card}
