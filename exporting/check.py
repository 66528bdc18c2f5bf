"""Proof of an export: its golden images answered here, beside the answers that it carries. It needs no server and no bundle."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporting.errors import ExportError
from exporting.golden import Golden
from exporting.names import COREML_SUFFIX, GOLDEN, LABELMAP, LABELS, MODEL, TASK, TFLITE, TFLITE_SUFFIX, rows_of
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
    """

    about: Mapping[str, Any]
    labels: Sequence[str]
    golden: Golden
    answer: Callable[[Pixels], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of an export's golden images.

    Attributes:
        images: how many there are.
        probability, novelty: the largest differences to the answers that it carries.
        same: images whose most probable label and `known` are the same.
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
        return _open_tflite(path / TFLITE, path / LABELMAP) if (path / TFLITE).exists() else _open_onnx(path / MODEL)
    return _open_tflite(path, None) if path.suffix == TFLITE_SUFFIX else _open_onnx(path)


def _open_tflite(file: Path, labelmap: Path | None) -> Exported:
    from exporting.tflite.reader import TfLite

    model = TfLite(file)
    exported = _described(file, model.metadata, lambda pixels: model(pixels)[1:])
    if labelmap and labelmap.read_text(encoding="utf-8").splitlines() != rows_of(exported.labels):
        raise ExportError(f"{labelmap} has other labels than {file.name}")
    return exported


def _open_onnx(file: Path) -> Exported:
    try:
        session = open_session(file.read_bytes(), available_cores())
        told = session.get_modelmeta().custom_metadata_map
    except OSError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no base but Exception.
        raise ExportError(f"{file} is no ONNX file that ONNX Runtime can run") from error
    name = session.get_inputs()[0].name
    return _described(file, told, lambda pixels: session.run(None, {name: pixels}))


def _described(file: Path, told: Mapping[str, str], answer: Callable[[Pixels], Sequence[Any]]) -> Exported:
    try:
        return Exported(json.loads(told[TASK]), json.loads(told[LABELS]), Golden.from_json(told[GOLDEN]), answer)
    except Exception as error:  # Damaged metadata may raise anything.
        raise ExportError(f"{file} was not made by `headstart export`, or its metadata is damaged") from error


def check(exported: Exported) -> Checked:
    """Answers the golden images."""
    golden = exported.golden
    answers = [[output[0] for output in exported.answer(image[None])] for image in golden.images]
    probabilities = np.array([each[0] for each in answers])
    novelty = np.array([each[2] for each in answers])
    same = probabilities.argmax(axis=1) == golden.probabilities.argmax(axis=1)
    same &= np.array([each[1] for each in answers]) == golden.known
    return Checked(
        len(answers),
        float(np.abs(probabilities - golden.probabilities).max()),
        float(np.abs(novelty - golden.novelty).max()),
        int(same.sum()),
        TOLERANCE_INT8 if exported.about["int8"] else TOLERANCE,
    )
