"""The tensors of the Open Inference Protocol: requests read, answers written. Nothing here knows HTTP or a model.

A tensor's contents stand in the JSON, flat or nested, row by row; or as bytes behind it, in the order of the tensors (Triton's
binary tensor data extension: little-endian, row by row, and each element of type BYTES after its length in four bytes).

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md
"""

import binascii
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct
from numpy.typing import NDArray

from server.errors import InvalidRequest, LimitExceeded

Datatype = Literal["BYTES", "UINT8", "FP32", "BOOL"]

MOST_COMMAS = 1_000_000
"""Commas of a request's JSON: a list of next to nothing costs many times its bytes once it is read. Six images of 224 x 224
pixels have fewer."""

_MOST_TENSORS = 16
_LENGTH = struct.Struct("<I")
_Natural = Annotated[int, Meta(ge=0, le=2**53)]
_Byte = Annotated[int, Meta(ge=0, le=255)]
_Texts = list[str | list[str]]
_Bytes = list[_Byte | list[_Byte | list[_Byte | list[_Byte]]]]


class _InputParameters(Struct, frozen=True):
    binary_data_size: _Natural | None = None
    content_type: str | None = None


class _Input(Struct, frozen=True):
    name: str
    shape: Annotated[list[_Natural], Meta(max_length=8)]
    datatype: str
    parameters: _InputParameters | None = None
    data: Raw = Raw()


class _OutputParameters(Struct, frozen=True):
    binary_data: bool | None = None
    classification: _Natural = 0
    shared_memory_region: str | None = None


class _Output(Struct, frozen=True):
    name: str
    parameters: _OutputParameters | None = None


class _RequestParameters(Struct, frozen=True):
    binary_data_output: bool = False


class _Request(Struct, frozen=True):
    """A request, as far as it is read. Other fields and parameters are for other servers, and ignored."""

    inputs: Annotated[list[_Input], Meta(min_length=1, max_length=_MOST_TENSORS)]
    outputs: Annotated[list[_Output], Meta(max_length=_MOST_TENSORS)] | None = None
    id: str | None = None
    parameters: _RequestParameters | None = None


_read_request = msgspec.json.Decoder(_Request).decode
_read_texts = msgspec.json.Decoder(_Texts).decode
_read_bytes = msgspec.json.Decoder(_Bytes).decode
_written = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, eq=False)
class InputTensor:
    """An input as it came, its contents unread.

    Attributes:
        shape: as it is declared. Nothing of it was compared with the contents.
        binary: the contents as bytes; None if they are JSON.
        json: the contents as JSON.
        base64: whether the texts of the JSON are base64.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    binary: memoryview | None
    json: Raw
    base64: bool = False

    @property
    def size(self) -> int:
        """The number of elements that the shape declares."""
        return math.prod(self.shape)

    def elements(self) -> list[bytes]:
        """Returns the elements of a tensor of type BYTES, row by row. Check `size` before: nothing is read beyond it.

        Raises:
            InvalidRequest: the contents are none, or do not fill the shape.
        """
        found = self._of_texts() if self.binary is None else self._of_bytes(self.binary)
        self._check(len(found))
        return found

    def values(self) -> NDArray[np.uint8]:
        """Returns a tensor of type UINT8, as an array of its shape. It may share the memory of the request.

        Raises:
            InvalidRequest: the contents are none, or do not fill the shape.
        """
        try:
            found = np.array(_read_bytes(self.json), np.uint8) if self.binary is None else np.frombuffer(self.binary, np.uint8)
            self._check(found.size)
            return found.reshape(self.shape)
        except ValueError as error:
            raise InvalidRequest(f"data of input {self.name!r}: {error}") from None

    def _check(self, elements: int) -> None:
        if elements != self.size:
            raise InvalidRequest(f"input {self.name!r} holds other than the {self.size} elements of its shape {list(self.shape)}")

    def _of_bytes(self, binary: memoryview) -> list[bytes]:
        found: list[bytes] = []
        at = 0
        while at < len(binary) and len(found) <= self.size:
            begin = at + _LENGTH.size
            end = begin + _LENGTH.unpack_from(binary, at)[0] if begin <= len(binary) else math.inf
            if end > len(binary):
                raise InvalidRequest(f"the binary data of input {self.name!r} ends within element {len(found)}")
            found.append(bytes(binary[begin : int(end)]))
            at = int(end)
        return found

    def _of_texts(self) -> list[bytes]:
        try:
            read = _read_texts(self.json)
        except ValueError as error:
            raise InvalidRequest(f"data of input {self.name!r}: {error}") from None
        texts = [text for each in read for text in ([each] if isinstance(each, str) else each)]
        if not self.base64:
            return [text.encode() for text in texts]
        try:
            return [binascii.a2b_base64(text.encode("ascii"), strict_mode=True) for text in texts]
        except ValueError:
            raise InvalidRequest(f"data of input {self.name!r} is not base64, as its parameters say") from None


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that is asked for by its name.

    Attributes:
        binary: whether it is answered as bytes.
        classes: how many classes it is answered as, the highest first; 0 for the tensor itself.
    """

    name: str
    binary: bool
    classes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class InferRequest:
    """A request.

    Attributes:
        id: to be repeated in the answer; None if there is none.
        inputs: at least one.
        outputs: empty if none is named: then those that the model chooses are answered.
        binary: whether outputs that are not named are answered as bytes.
    """

    id: str | None
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...]
    binary: bool


def read_request(body: bytes, json_bytes: int | None = None) -> InferRequest:
    """Returns a request.

    Args:
        json_bytes: the length of the JSON, if binary data follows it.

    Raises:
        InvalidRequest: it is not JSON, does not fit, or its binary data is not as long as its inputs say.
        LimitExceeded: its JSON has too many commas.
    """
    length = len(body) if json_bytes is None else json_bytes
    if length > len(body):
        raise InvalidRequest(f"Inference-Header-Content-Length is {length}, and the body has {len(body)} bytes")
    whole = memoryview(body)
    if (commas := body.count(b",", 0, length)) > MOST_COMMAS:
        raise LimitExceeded("commas in the JSON of this request; send binary data", commas, MOST_COMMAS)
    try:
        read = _read_request(whole[:length])
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the JSON of the request: {error}") from None
    inputs, at = [], length
    for each in read.inputs:
        parameters = each.parameters or _InputParameters()
        size = parameters.binary_data_size
        if size is None and not each.data:
            raise InvalidRequest(f"input {each.name!r} has neither data nor binary_data_size")
        inputs.append(
            InputTensor(
                each.name,
                each.datatype,
                tuple(each.shape),
                None if size is None else whole[at : at + size],
                each.data,
                parameters.content_type == "base64",
            )
        )
        at += size or 0
    if at != len(body):
        raise InvalidRequest(f"{len(body) - length} bytes follow the JSON, and its inputs have {at - length}")
    binary = read.parameters is not None and read.parameters.binary_data_output
    return InferRequest(read.id, tuple(inputs), tuple(_asked(each, binary) for each in read.outputs or ()), binary)


def raw_request(body: bytes, name: str, datatype: Datatype) -> InferRequest:
    """Returns the request of a body that is nothing but the contents of a model's only input. It is answered in bytes.

    Args:
        name, datatype: of that input. BYTES has one element, without its length; UINT8 is an array of one dimension.
    """
    if datatype == "BYTES":
        shape, contents = (1,), _LENGTH.pack(len(body)) + body
    else:
        shape, contents = (len(body),), body
    return InferRequest(None, (InputTensor(name, datatype, shape, memoryview(contents), Raw()),), (), binary=True)


def _asked(output: _Output, binary: bool) -> RequestedOutput:
    parameters = output.parameters or _OutputParameters()
    if parameters.shared_memory_region is not None:
        raise InvalidRequest(f"output {output.name!r}: this server has no shared memory")
    return RequestedOutput(
        output.name, binary if parameters.binary_data is None else parameters.binary_data, parameters.classification
    )


@dataclass(frozen=True, slots=True, eq=False)
class OutputTensor:
    """An output of N rows.

    Attributes:
        values: FP32: (N, K) of any floating-point type, rounded when it is written. BOOL: (N, 1). BYTES: (N, k) texts, as rows.
        labels: of the K classes of FP32, where it has some.
    """

    name: str
    datatype: Datatype
    values: NDArray[Any] | Sequence[Sequence[str]]
    labels: Sequence[str] | None = None

    def as_classes(self, count: int) -> "OutputTensor":
        """Returns the classes of each row as texts `value:index:label`, the highest first, (N, min(count, K)).

        Equally high ones come in their order. Values have nine decimals, as Triton writes them.

        Raises:
            InvalidRequest: the values are no numbers.
        """
        if self.datatype != "FP32":
            raise InvalidRequest(f"output {self.name!r} has type {self.datatype}, which has no classification")
        values = np.asarray(self.values)
        ranking = (-values).argsort(axis=1, kind="stable")[:, :count].tolist()
        names = [""] * values.shape[1] if self.labels is None else [f":{label}" for label in self.labels]
        rows = [[f"{row[k]:.9f}:{k}{names[k]}" for k in classes] for row, classes in zip(values.tolist(), ranking, strict=True)]
        return OutputTensor(self.name, "BYTES", rows)

    @property
    def shape(self) -> list[int]:
        if isinstance(self.values, np.ndarray):
            return list(self.values.shape)
        return [len(self.values), len(self.values[0]) if self.values else 0]

    def as_bytes(self) -> bytes:
        """Returns the contents as binary tensor data."""
        if isinstance(self.values, np.ndarray):
            return self.values.astype("<f4" if self.datatype == "FP32" else np.bool_).tobytes()
        texts = [text.encode() for row in self.values for text in row]
        return b"".join([piece for text in texts for piece in (_LENGTH.pack(len(text)), text)])

    def as_list(self) -> list[Any]:
        """Returns the contents as the protocol has them in JSON, flat."""
        if isinstance(self.values, np.ndarray):
            flat: list[Any] = self.values.astype(np.float32 if self.datatype == "FP32" else np.bool_).ravel().tolist()
            return flat
        return [text for row in self.values for text in row]


def write_answer(
    model: str, version: str, id_: str | None, outputs: Sequence[tuple[OutputTensor, bool]]
) -> tuple[bytes, int | None]:
    """Returns the body of an answer, and the length of its JSON if binary data follows it.

    Args:
        outputs: each with whether it is answered as bytes.
    """
    described, contents = [], []
    for tensor, binary in outputs:
        shown: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if binary:
            contents.append(tensor.as_bytes())
            described.append({**shown, "parameters": {"binary_data_size": len(contents[-1])}})
        else:
            described.append({**shown, "data": tensor.as_list()})
    named = {"id": id_} if id_ is not None else {}
    head = _written({"model_name": model, "model_version": version, **named, "outputs": described})
    return (b"".join([head, *contents]), len(head)) if contents else (head, None)
