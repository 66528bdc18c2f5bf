"""The cost of a message, known before it is read: two bytes may be a whole object in memory.

It walks the fields of the wire format (https://protobuf.dev/programming-guides/encoding) and makes nothing of them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.grpc.messages import InvalidMessage

MOST = 2_000_000
"""The highest cost. Each field costs 64, and each byte of numbers that are packed in one field costs 1 more. Six images of 224 x
224 pixels cost less as numbers, and so do 30,000 elements of type BYTES."""

_FIELD = 64
_LIGHT = 128 * _FIELD  # what is walked and read in less than a millisecond
_TENSORS = 8  # A model here has one input, and four outputs at most.
_LONGEST = 10  # bytes of a variable-length number
_VARINT, _FIXED, _DELIMITED = 0, {1: 8, 5: 4}, 2  # The others are groups, which no message of ours has.
_CUT = "this is no message ModelInferRequest: it is cut"


@dataclass(frozen=True)
class _Shape:
    """The fields of a message that are looked into, by number.

    Attributes:
        packed: those with numbers.
        messages: those with messages of this kind.
        tensors: those that describe or hold one tensor each.
    """

    packed: frozenset[int] = frozenset()
    messages: "Mapping[int, _Shape]" = field(default_factory=dict)
    tensors: frozenset[int] = frozenset()


_PARAMETER = _Shape(messages={2: _Shape()})  # an entry of a map: its value is a message
_CONTENTS = _Shape(packed=frozenset(range(1, 8)))
_INPUT = _Shape(packed=frozenset({3}), messages={4: _PARAMETER, 5: _CONTENTS})
_OUTPUT = _Shape(messages={2: _PARAMETER})
_INFER_REQUEST = _Shape(messages={4: _PARAMETER, 5: _INPUT, 6: _OUTPUT}, tensors=frozenset({5, 6, 7}))


def check_cost(message: bytes) -> None:
    """Checks a ModelInferRequest.

    Raises:
        InvalidMessage: it would take many times its bytes in memory, has more tensors than any model, or is none.
    """
    _cost(message, 0, len(message), _INFER_REQUEST, 0, MOST)


def is_light(message: bytes) -> bool:
    """Returns whether a ModelInferRequest has so few fields and numbers that the event loop may read it."""
    try:
        _cost(message, 0, len(message), _INFER_REQUEST, 0, _LIGHT)
    except InvalidMessage:  # Perhaps it is none. Whoever reads it says so.
        return False
    return True


def _cost(data: bytes, at: int, end: int, shape: _Shape, cost: int, most: int) -> int:
    """Returns the cost of what came before and of a part of the data."""
    tensors: Counter[int] = Counter()
    while at < end:
        key, at = _number(data, at, end)
        number, kind = key >> 3, key & 7
        cost += _FIELD
        if number in shape.tensors:
            tensors[number] += 1
            if tensors[number] > _TENSORS:
                raise InvalidMessage(f"a message has {_TENSORS} inputs, outputs and raw_input_contents each at most")
        if kind == _VARINT:
            _, at = _number(data, at, end)
        elif kind in _FIXED:
            at += _FIXED[kind]
        elif kind == _DELIMITED:
            size, at = _number(data, at, end)
            if at + size > end:
                break
            if number in shape.packed:
                cost += size
            elif number in shape.messages:
                cost = _cost(data, at, at + size, shape.messages[number], cost, most)
            at += size
        else:
            break
        if cost > most:
            raise InvalidMessage("the message holds too many numbers or elements; send raw_input_contents")
    if at != end:
        raise InvalidMessage(_CUT)
    return cost


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Returns the number at a place, and the place behind it."""
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value = 0
    for index, byte in enumerate(data[at : min(end, at + _LONGEST)]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise InvalidMessage(_CUT)
