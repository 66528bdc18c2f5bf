"""The names inside an export, which its readers rely on."""

from collections.abc import Sequence

IMAGE = "image"
"""The input: uint8 (N, H, W, 3), N images of one size, upright, in sRGB."""
PROBABILITIES, KNOWN, NOVELTY = "probabilities", "known", "novelty"
"""The outputs: float32 (N, K), bool (N,) and float32 (N,)."""
TASK, LABELS, GOLDEN, BACKBONE_CARD = "headstart", "labels", "golden", "backbone_card"
"""The metadata: a description and the K labels, both JSON; the golden images; the model card of the backbone."""
MODEL = "model.onnx"
"""The ONNX file in a folder for browsers."""
TRANSFORMERS = "transformers.js"
"""The folder in it that transformers.js loads."""
TRANSFORMERS_MODEL, TRANSFORMERS_CONFIG = "onnx/model.onnx", "config.json"
"""The files in that folder."""
PIXEL_VALUES, LOGITS = "pixel_values", "logits"
"""Input and output of the model for transformers.js: float32 (N, 3, H, W) of levels from 0 to 255, and (N, K)."""
TFLITE, LABELMAP = "model.tflite", "labelmap.txt"
"""The files in a folder for TensorFlow Lite."""
TFLITE_SUFFIX, COREML_SUFFIX = ".tflite", ".mlpackage"
"""Of the name of what holds a model of that format."""
LABEL, LABEL_PROBABILITIES = "label", "label_probs"
"""The outputs for Core ML beside known and novelty: the most probable label, and a dictionary of all. The second's name is made
of the first by coremltools.
"""
SCORES = "scores"
"""The first output for TensorFlow Lite: uint8 (1, rows), in 256ths."""
NONE = "none"
"""The label of a row for images of no class, of which Frigate says nothing."""


def rows_of(labels: Sequence[str]) -> list[str]:
    """Returns the labels of the rows of `SCORES`: those of the task, and `NONE`, unless a class is called that."""
    return [*labels] if NONE in labels else [*labels, NONE]
