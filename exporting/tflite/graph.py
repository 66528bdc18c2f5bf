"""A TensorFlow Lite model in the making: tensors and operators, which become a flatbuffer.

The classes of the schema come with the runtime, `ai-edge-litert`. The schema itself is
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import DTypeLike, NDArray

from exporting.errors import ExportError

_IDENTIFIER = b"TFL3"
_VERSION = 3  # of the schema
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
_ALIGNMENT = 16
_LARGEST_OLD_CODE = 127  # operators beyond it are named by a second field alone


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """The meaning of whole numbers that stand for real ones: real = (number − zero) · scale.

    Attributes:
        scale: float32 (1,), or one for each index of `axis`.
        zero: int64, as many.
        axis: of the tensor.
    """

    scale: NDArray[np.float32]
    zero: NDArray[np.int64]
    axis: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor of a graph.

    Attributes:
        index: its place among the graph's tensors.
        scale: of whole numbers that stand for real ones.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: Scale | None = None


class Graph:
    """Tensors and operators."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._model.version = _VERSION
        self._model.operatorCodes, self._model.metadata = [], []
        self._model.buffers = [schema.BufferT()]  # by the schema's convention the first one is empty
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]
        self._codes: dict[tuple[int, int], int] = {}

    def tensor(self, name: str, shape: Sequence[int], dtype: DTypeLike = np.float32, scale: Scale | None = None) -> Tensor:
        """Adds a tensor that an operator, or the caller of the model, fills.

        Raises:
            ExportError: it is of another type than the formats' models need.
        """
        return self._add(name, shape, np.dtype(dtype), scale, 0)

    def constant(self, name: str, values: NDArray[Any], scale: Scale | None = None) -> Tensor:
        """Adds a tensor of given values.

        Raises:
            ExportError: as `tensor`.
        """
        return self._add(name, values.shape, values.dtype, scale, self._buffer(np.ascontiguousarray(values).tobytes()))

    def operator(
        self, name: str, inputs: Sequence[Tensor | None], output: Tensor, options: Any = None, version: int = 1
    ) -> Tensor:
        """Adds an operator and returns its output.

        Args:
            name: of the schema's enumeration, such as `CONV_2D`.
            inputs: None for one that is left out.
            options: the schema's object of options.
            version: the least of the operator that has what is asked of it.
        """
        added = schema.OperatorT()
        added.opcodeIndex = self._code(getattr(schema.BuiltinOperator, name), version)
        added.inputs = [-1 if each is None else each.index for each in inputs]
        added.outputs = [output.index]
        if options is not None:
            added.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            added.builtinOptions = options
        self._graph.operators.append(added)
        return output

    def finished(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], metadata: Mapping[str, str], about: str) -> bytes:
        """Returns the model as the bytes of a file.

        Args:
            metadata: texts by names.
            about: one line that describes the model.
        """
        self._graph.inputs, self._graph.outputs = ([each.index for each in ends] for ends in (inputs, outputs))
        for name, text in metadata.items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, self._buffer(text.encode())
            self._model.metadata.append(entry)
        self._model.description = about
        builder = _Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _add(self, name: str, shape: Sequence[int], dtype: np.dtype[Any], scale: Scale | None, buffer: int) -> Tensor:
        if dtype not in _TYPES:
            raise ExportError(f"the backbone has numbers of type {dtype}, which are not written for TensorFlow Lite")
        added = schema.TensorT()
        added.name, added.shape, added.type, added.buffer = name, list(shape), _TYPES[dtype], buffer
        if scale is not None:
            added.quantization = schema.QuantizationParametersT()
            added.quantization.scale, added.quantization.zeroPoint = scale.scale, scale.zero
            added.quantization.quantizedDimension = scale.axis
        self._graph.tensors.append(added)
        return Tensor(len(self._graph.tensors) - 1, name, tuple(shape), dtype, scale)

    def _buffer(self, content: bytes) -> int:
        added = schema.BufferT()
        added.data = np.frombuffer(content, np.uint8)
        self._model.buffers.append(added)
        return len(self._model.buffers) - 1

    def _code(self, operator: int, version: int) -> int:
        if (operator, version) not in self._codes:
            added = schema.OperatorCodeT()
            added.builtinCode, added.version = operator, version
            added.deprecatedBuiltinCode = min(operator, _LARGEST_OLD_CODE)
            self._model.operatorCodes.append(added)
            self._codes[operator, version] = len(self._codes)
        return self._codes[operator, version]


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns all vectors as the schema asks of buffers, which its Python classes leave out."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        return super().StartVector(elemSize, numElems, max(alignment, _ALIGNMENT))


def read_metadata(model: bytes) -> dict[str, str]:
    """Returns the texts that `Graph.finished` was given. Bytes that are no such model may raise anything."""
    root = schema.Model.GetRootAs(model)
    entries = (root.Metadata(at) for at in range(root.MetadataLength()))
    return {each.Name().decode(): root.Buffers(each.Buffer()).DataAsNumpy().tobytes().decode() for each in entries}
