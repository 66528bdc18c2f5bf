"""A TensorFlow Lite export that is opened again, in Google's own runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from exporting.errors import ExportError
from exporting.tflite.graph import read_metadata
from models.images.preprocess import Pixels


class TfLite:
    """A model as a function.

    Attributes:
        metadata: the texts that it carries.
    """

    def __init__(self, file: Path) -> None:
        """Opens a file.

        Raises:
            ExportError: it is no model that runs here.
            OSError: it cannot be read.
        """
        content = file.read_bytes()
        try:
            self.metadata: Mapping[str, str] = read_metadata(content)
            self._interpreter = Interpreter(model_content=content)
            self._interpreter.allocate_tensors()
        except Exception as error:  # Damaged bytes may raise anything.
            raise ExportError(f"{file} is no TensorFlow Lite file that runs here") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def __call__(self, pixels: Pixels) -> Sequence[Any]:
        """Returns scores, probabilities, known and novelty of one image (1, 224, 224, 3)."""
        self._interpreter.set_tensor(self._input, pixels)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(each) for each in self._outputs]
