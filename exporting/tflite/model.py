"""A task's version as a folder for programs that run TensorFlow Lite: Frigate's `model_cache/NAME/`, and Coral's form.

Both give an image as uint8 (1, 224, 224, 3), read the first output, and take the label of a row from `labelmap.txt`.
"""

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from exporting.golden import golden_of
from exporting.model import Found, metadata, to_answers
from exporting.names import IMAGE, KNOWN, LABELMAP, NOVELTY, PROBABILITIES, SCORES, TFLITE, rows_of
from exporting.tflite.convert import convert
from exporting.tflite.graph import Graph, Scale, Tensor
from exporting.tflite.resize import resize
from exporting.whole import written_whole
from models.manifest import InputSpec

SIDE = 224
"""Of the images that Frigate gives, in pixels."""


def write_folder(found: Found, folder: Path) -> None:
    """Writes `model.tflite` and `labelmap.txt`.

    Args:
        folder: a new one.

    Raises:
        ExportError: the backbone has an operator that is not written for TensorFlow Lite, or does not run here.
        OSError: it exists, or a file cannot be written. No folder is left then.
    """
    with written_whole(folder) as whole:
        model = to_tflite(found)
        whole.mkdir()
        (whole / TFLITE).write_bytes(model)
        lines = "".join(f"{label}\n" for label in rows_of(found.classifier.head.labels))
        (whole / LABELMAP).write_text(lines, encoding="utf-8")


def to_tflite(found: Found) -> bytes:
    """Returns the model: image in; scores, probabilities, known and novelty out.

    Raises:
        ExportError: as `write_folder`.
    """
    graph = Graph()
    image = graph.tensor(IMAGE, (1, SIDE, SIDE, 3), np.uint8)
    outputs = convert(graph, to_answers(found), resize(graph, image, found.bundle.manifest.input))
    probabilities, known, novelty = (outputs[name] for name in (PROBABILITIES, KNOWN, NOVELTY))
    scores = _scores(graph, probabilities, known, len(rows_of(found.classifier.head.labels)))
    golden = golden_of(found.classifier, found.bundle, found.file, found.background, InputSpec(height=SIDE, width=SIDE))
    about = f"{found.classifier.name}, version {found.classifier.version}"
    return graph.finished([image], [scores, probabilities, known, novelty], metadata(found, golden), about)


def _scores(graph: Graph, probabilities: Tensor, known: Tensor, rows: int) -> Tensor:
    """Adds the first output, uint8 (1, rows) in 256ths: the probabilities; or for a stranger 1 for `NONE`, and 0 for the rest."""
    shape, classes = (1, rows), probabilities.shape[1]
    if rows > classes:
        sure = graph.operator("CAST", [known], graph.tensor("scores/known", (1,)), schema.CastOptionsT())
        own = graph.operator("MUL", [probabilities, sure], graph.tensor("scores/own", probabilities.shape), schema.MulOptionsT())
        one = graph.constant("scores/one", np.ones((1, 1), np.float32))
        none = graph.operator("SUB", [one, sure], graph.tensor("scores/none", (1, 1)), schema.SubOptionsT())
        options = schema.ConcatenationOptionsT()
        options.axis = 1
        probabilities = graph.operator("CONCATENATION", [own, none], graph.tensor("scores/all", shape), options)
    scale = Scale(np.array([1 / 256], np.float32), np.array([0]))
    return graph.operator("QUANTIZE", [probabilities], graph.tensor(SCORES, shape, np.uint8, scale), schema.QuantizeOptionsT())
