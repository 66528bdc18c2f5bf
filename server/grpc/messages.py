"""The messages of `inference.proto`, by the calls of its service.

They are read from the compiled file and not from generated Python. That would ask for the version of protobuf that generated it,
or a later one. It would also put the names into a pool that all packages of a process share (decision 0142).
"""

from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"

_COMPILED = Path(__file__).with_name("inference.binpb")

Message = Any
"""A message of the protocol. Its class is made when the server starts, so that no type checker knows it."""


class InvalidMessage(ValueError):
    """A message is cut, contradicts itself, or asks for too much. The text is for its sender."""


class Messages(NamedTuple):
    """The classes of what a call takes and of what it answers."""

    request: type[Message]
    response: type[Message]


def read_messages() -> dict[str, Messages]:
    """Returns the messages of each call of the service, by its name."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(_COMPILED.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return {
        method.name: Messages(GetMessageClass(method.input_type), GetMessageClass(method.output_type))
        for method in pool.FindServiceByName(SERVICE).methods
    }
