"""The messages between a process that decodes and the one that embeds: a few bytes each, about images in shared memory.

Embed and Cancel go to the process that embeds, and Done and Leaving come from it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_ASKED = struct.Struct("<BBHI63s128s25s")
_TOLD = struct.Struct("<BBHI")
ASKED_BYTES, TOLD_BYTES = _ASKED.size, _TOLD.size
_EMBED, _CANCEL, _DONE, _LEAVING = range(1, 5)
_NO_TRACE = bytes(25)


class BrokenMessage(Exception):
    """Bytes that are no message. The connection cannot be used any further."""


@dataclass(frozen=True, slots=True)
class Embed:
    """Asks for the embeddings of images.

    Attributes:
        slot: where the first of them lies. It names the request until that is done.
        count: of the images.
        tenant: whose they are.
        request: the id of the request that brought them, for the log.
        background: whether they come after all other images.
        trace: the span that waits for them, 25 bytes; None without traces.
    """

    slot: int
    count: int
    tenant: str
    request: str
    background: bool = False
    trace: bytes | None = None

    def packed(self) -> bytes:
        trace = self.trace or _NO_TRACE
        return _ASKED.pack(_EMBED, self.background, self.count, self.slot, self.tenant.encode(), self.request.encode(), trace)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Says that nobody waits for a request any more. It is done nevertheless, soon."""

    slot: int

    def packed(self) -> bytes:
        return _ASKED.pack(_CANCEL, 0, 0, self.slot, b"", b"", _NO_TRACE)


@dataclass(frozen=True, slots=True)
class Done:
    """Says that a request's slots may be used again. The embeddings are there, unless it failed or was cancelled.

    A batch with images of a cancelled request may still be under way. Nobody is told what becomes of these.
    """

    slot: int
    failed: bool = False

    def packed(self) -> bytes:
        return _TOLD.pack(_DONE, self.failed, 0, self.slot)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Says that another process takes the requests from now on. Those that were sent here are still done."""

    def packed(self) -> bytes:
        return _TOLD.pack(_LEAVING, 0, 0, 0)


class Pieces:
    """Messages of one size, out of pieces of a stream.

    Args:
        size: of a message in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = b""

    def take(self, piece: bytes) -> Iterator[bytes]:
        """Yields the messages that are complete with this piece."""
        held = self._rest + piece
        whole = len(held) - len(held) % self._size
        self._rest = held[whole:]
        for at in range(0, whole, self._size):
            yield held[at : at + self._size]


def read_asked(message: bytes) -> Embed | Cancel:
    """Reads a message to the process that embeds. Raises BrokenMessage."""
    kind, background, count, slot, tenant, request, trace = _ASKED.unpack(message)
    if kind == _CANCEL:
        return Cancel(slot)
    if kind != _EMBED or not count or background > 1:
        raise BrokenMessage
    try:
        named = tenant.rstrip(b"\0").decode(), request.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise BrokenMessage from error
    return Embed(slot, count, *named, bool(background), None if trace == _NO_TRACE else trace)


def read_told(message: bytes) -> Done | Leaving:
    """Reads a message from the process that embeds. Raises BrokenMessage."""
    kind, failed, _, slot = _TOLD.unpack(message)
    if kind == _LEAVING:
        return Leaving()
    if kind != _DONE or failed > 1:
        raise BrokenMessage
    return Done(slot, bool(failed))
