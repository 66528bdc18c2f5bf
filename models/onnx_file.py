"""Checks an ONNX file before a runtime opens it, without the `onnx` package.

A model may keep its tensors in other files ("external data"), named by a path of the model's choosing. A bundle's files are
each checked by sha256. So a backbone that reaches for a file beside the manifest is refused before any runtime follows it.
"""

from collections.abc import Iterator

# The part of onnx.proto3 that leads to tensors: message -> field number -> message.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 6: "graph", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION, _EXTERNAL = 13, 14, 1
_DEEPEST = 64


def has_external_data(model: bytes) -> bool:
    """Returns whether any tensor of a serialised ModelProto, subgraphs and functions included, lives in another file.

    Raises:
        ValueError: `model` is not a serialised protocol buffer.
    """
    return _is_external(memoryview(model), "model", 0)


def _is_external(message: memoryview, kind: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise ValueError("subgraphs nested too deep")
    children = _CHILDREN[kind]
    for number, value in _fields(message):
        if kind == "tensor":
            if number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value == _EXTERNAL):
                return True
        elif number in children and isinstance(value, memoryview) and _is_external(value, children[number], depth + 1):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields the (number, value) pairs of one message: integers for varints, views for everything else."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        match key & 7:
            case 0:
                value, position = _varint(message, position)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, position = _varint(message, position)
            case 5:
                size = 4
            case other:
                raise ValueError(f"unknown wire type {other}")
        if position + size > len(message):
            raise ValueError("a field runs past the end of its message")
        yield key >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("the message ends inside a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")
