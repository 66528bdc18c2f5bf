"""Proof of an export: its golden images answered here, beside the answers that it carries. It needs no server and no bundle."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporting.errors import ExportError
from exporting.golden import Golden
from exporting.names import (
    COREML_SUFFIX,
    GOLDEN,
    LABELMAP,
    LABELS,
    LOGITS,
    MODEL,
    PIXEL_VALUES,
    TASK,
    TFLITE,
    TFLITE_SUFFIX,
    TRANSFORMERS,
    TRANSFORMERS_CONFIG,
    TRANSFORMERS_MODEL,
    rows_of,
)
from models.heads.head import Float32, sigmoid, softmax
from models.images.preprocess import Pixels
from models.processor import available_cores
from models.runtimes.sessions import open_session

TOLERANCE, TOLERANCE_INT8 = 1e-3, 0.05
"""Of a probability. Processors differ in how they add up products of eight bits, so int8 has another one."""


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """An export that is opened.

    Attributes:
        about: its description.
        labels: K.
        answer: from pixels (N, H, W, 3) to probabilities (N, K), known (N,) and novelty (N,).
        logits: of a folder for browsers, its model for transformers.js: from levels, float32 (N, 3, H, W), to logits (N, K).
    """

    about: Mapping[str, Any]
    labels: Sequence[str]
    golden: Golden
    answer: Callable[[Pixels], Sequence[Any]]
    logits: Callable[[Float32], Any] | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of an export's golden images.

    Attributes:
        images: how many there are.
        probability, novelty: the largest differences to the answers that it carries, of any of its models.
        same: images whose most probable label and `known` are the same, in each of its models.
        tolerance: of a probability.
    """

    images: int
    probability: float
    novelty: float
    same: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """True if the export answers here as it says."""
        return self.probability <= self.tolerance and self.same == self.images


def open_export(path: Path) -> Exported:
    """Opens a file that `headstart export` made, or a folder that it made with such a file inside.

    Raises:
        ExportError: it is anything else, or does not run here.
        ModuleNotFoundError: the runtime of its format is not installed.
        OSError: it cannot be read.
    """
    if path.suffix == COREML_SUFFIX:
        from exporting.coreml.reader import CoreMl

        package = CoreMl(path)
        return _described(path, package.metadata, package)
    if path.is_dir():
        return _open_tflite(path / TFLITE, path / LABELMAP) if (path / TFLITE).exists() else _open_web(path)
    return _open_tflite(path, None) if path.suffix == TFLITE_SUFFIX else _open_onnx(path)


def _open_tflite(file: Path, labelmap: Path | None) -> Exported:
    from exporting.tflite.reader import TfLite

    model = TfLite(file)
    exported = _described(file, model.metadata, lambda pixels: model(pixels)[1:])
    if labelmap and labelmap.read_text(encoding="utf-8").splitlines() != rows_of(exported.labels):
        raise ExportError(f"{labelmap} has other labels than {file.name}")
    return exported


def _open_web(folder: Path) -> Exported:
    exported = _open_onnx(folder / MODEL)
    file, config = (folder / TRANSFORMERS / name for name in (TRANSFORMERS_MODEL, TRANSFORMERS_CONFIG))
    session = _session(file)
    taken, given = session.get_inputs(), session.get_outputs()
    if [each.name for each in taken] != [PIXEL_VALUES] or [(each.name, each.shape[-1]) for each in given] != [
        (LOGITS, len(exported.labels))
    ]:
        raise ExportError(f"{file} is not the model of this task for {TRANSFORMERS}")
    try:
        labels = json.loads(config.read_text(encoding="utf-8"))["id2label"]
    except (ValueError, LookupError, TypeError) as error:
        raise ExportError(f"{config} has no id2label") from error
    if labels != {str(at): label for at, label in enumerate(exported.labels)}:
        raise ExportError(f"{config} has other labels than {MODEL}")
    return replace(exported, logits=lambda levels: session.run([LOGITS], {PIXEL_VALUES: levels})[0])


def _open_onnx(file: Path) -> Exported:
    session = _session(file)
    name = session.get_inputs()[0].name
    return _described(file, session.get_modelmeta().custom_metadata_map, lambda pixels: session.run(None, {name: pixels}))


def _session(file: Path) -> Any:
    try:
        return open_session(file.read_bytes(), available_cores())
    except OSError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no base but Exception.
        raise ExportError(f"{file} is no ONNX file that ONNX Runtime can run") from error


def _described(file: Path, told: Mapping[str, str], answer: Callable[[Pixels], Sequence[Any]]) -> Exported:
    try:
        return Exported(json.loads(told[TASK]), json.loads(told[LABELS]), Golden.from_json(told[GOLDEN]), answer)
    except Exception as error:  # Damaged metadata may raise anything.
        raise ExportError(f"{file} was not made by `headstart export`, or its metadata is damaged") from error


def check(exported: Exported) -> Checked:
    """Answers the golden images, by each model that there is."""
    golden = exported.golden
    answers = [[output[0] for output in exported.answer(image[None])] for image in golden.images]
    probabilities = [np.array([each[0] for each in answers])]
    if exported.logits is not None:
        probabilities.append(_of_logits(exported.logits, golden.images, exported.about["several_labels"]))
    novelty = np.array([each[2] for each in answers])
    same = np.array([each[1] for each in answers]) == golden.known
    for each in probabilities:
        same &= each.argmax(axis=1) == golden.probabilities.argmax(axis=1)
    return Checked(
        len(answers),
        float(max(np.abs(each - golden.probabilities).max() for each in probabilities)),
        float(np.abs(novelty - golden.novelty).max()),
        int(same.sum()),
        TOLERANCE_INT8 if exported.about["int8"] else TOLERANCE,
    )


def _of_logits(logits: Callable[[Float32], Any], images: Sequence[Pixels], independent: bool) -> NDArray[np.float64]:
    """Returns the probabilities (N, K) of images that a model for transformers.js gives logits for."""
    scores = np.concatenate([logits(image[None].transpose(0, 3, 1, 2).astype(np.float32)) for image in images])
    return sigmoid(scores) if independent else softmax(scores, 1.0)
