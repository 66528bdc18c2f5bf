"""The program that reads an export, for its user to copy: plain ONNX Runtime and Pillow, and nothing of ours."""

from models.manifest import InputSpec

_LINES = """\
import json, numpy, onnxruntime, sys
from PIL import Image, ImageOps
model = onnxruntime.InferenceSession({file!r})
labels = json.loads(model.get_modelmeta().custom_metadata_map["labels"])
for path in sys.argv[1:]:
    picture = Image.open(path)
    picture.draft("RGB", ({side}, {side}))  # large JPEGs: the server reads them at a fraction of their size
    pixels = numpy.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    probability, known, novelty = (output[0] for output in model.run(None, {{"image": pixels[None]}}))
    print(path, labels[probability.argmax()] if known else "none of these", probability.max())
"""


def ten_lines(file: str, spec: InputSpec) -> str:
    """Returns a program that prints the label and the probability of the images that it is called with.

    Args:
        file: the export.
        spec: of the backbone, by which large JPEGs are read.
    """
    return _LINES.format(file=file, side=2 * max(spec.covered))
