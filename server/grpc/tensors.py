"""Requests for inference and their answers, between gRPC and the REST form with binary tensor data.

What a request's tensors hold is not looked at: the application refuses what does not fit.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec.json import decode, encode

from server.grpc.messages import InvalidMessage, Message

_LENGTH = struct.Struct("<I")
_MOST_BYTE = 255
_SHARED_MEMORY = "shared_memory_region"
_OF_OUTPUTS = ("classification", _SHARED_MEMORY)  # parameters that the application reads


def rest_request(message: Message) -> tuple[bytes, int]:
    """Returns the body of a request for inference, and the length of its JSON.

    Raises:
        InvalidMessage: its inputs and their contents do not belong together.
    """
    contents = [bytes(each) for each in message.raw_input_contents]
    if contents and len(contents) != len(message.inputs):
        raise InvalidMessage(
            f"inputs: {len(message.inputs)}, and raw_input_contents: {len(contents)}; there must be one for each"
        )
    for tensor in message.inputs:
        if _SHARED_MEMORY in tensor.parameters:
            raise InvalidMessage(f"input {tensor.name[:100]!r}: this server has no shared memory")
        if message.raw_input_contents and tensor.HasField("contents"):
            raise InvalidMessage(f"input {tensor.name[:100]!r} has contents beside raw_input_contents")
    contents = contents or [_packed(tensor) for tensor in message.inputs]
    request: dict[str, Any] = {
        "inputs": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "datatype": tensor.datatype,
                "parameters": {"binary_data_size": len(part)},
            }
            for tensor, part in zip(message.inputs, contents, strict=True)
        ],
        "outputs": [{"name": output.name, "parameters": _asked(output.parameters)} for output in message.outputs],
        "parameters": {"binary_data_output": True},
    }
    if message.id:
        request["id"] = message.id
    head = encode(request)
    return b"".join([head, *contents]), len(head)


def _packed(tensor: Message) -> bytes:
    """Returns typed contents as binary tensor data; nothing for a datatype that no model takes."""
    contents = tensor.contents
    if tensor.datatype == "BYTES":
        return b"".join([piece for each in contents.bytes_contents for piece in (_LENGTH.pack(len(each)), each)])
    if tensor.datatype != "UINT8":
        return b""
    values = np.fromiter(contents.uint_contents, np.uint32, len(contents.uint_contents))
    if values.size and values.max() > _MOST_BYTE:
        raise InvalidMessage(f"input {tensor.name[:100]!r} of type UINT8 holds {values.max()}")
    return values.astype(np.uint8).tobytes()


def _asked(parameters: Mapping[str, Message]) -> dict[str, Any]:
    """Returns the parameters of an output that is asked for. It is answered in bytes."""
    asked: dict[str, Any] = {"binary_data": True}
    for name in _OF_OUTPUTS:
        if name in parameters:
            choice = parameters[name].WhichOneof("parameter_choice")
            asked[name] = None if choice is None else getattr(parameters[name], choice)
    return asked


def infer_response(response: Message, body: bytes, json_bytes: int, *, typed: bool) -> None:
    """Fills the response from an answer with binary tensor data.

    Args:
        json_bytes: the length of the answer's JSON.
        typed: whether tensors stand in the contents of their type, as in a request that has them so, or in raw_output_contents.
    """
    told = decode(body[:json_bytes])
    response.model_name, response.model_version, response.id = told["model_name"], told["model_version"], told.get("id", "")
    at = json_bytes
    for each in told["outputs"]:
        tensor = response.outputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        part = body[at : at + each["parameters"]["binary_data_size"]]
        at += len(part)
        if typed:
            _FILL[each["datatype"]](tensor.contents, part)
        else:
            response.raw_output_contents.append(part)


def _fill_bytes(contents: Message, part: bytes) -> None:
    at = 0
    while at < len(part):
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(part, at)[0]
        contents.bytes_contents.append(part[begin:at])


def _fill_floats(contents: Message, part: bytes) -> None:
    contents.fp32_contents.extend(np.frombuffer(part, "<f4").tolist())


def _fill_booleans(contents: Message, part: bytes) -> None:
    contents.bool_contents.extend(np.frombuffer(part, np.bool_).tolist())


_FILL: Mapping[str, Callable[[Message, bytes], None]] = {"BYTES": _fill_bytes, "FP32": _fill_floats, "BOOL": _fill_booleans}
