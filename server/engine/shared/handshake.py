"""Agreement of a process with the one that embeds: which backbone, and which memory they share.

The process names a bundle and a kind of engine. The other opens it, unless it is open, and sends a board. Then the process sends
an arena. From then on there are messages. All functions block.
"""

import errno
import json
import os
import socket
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from models.bundle import Bundle, BundleError
from models.engine import EngineError, EngineKind
from models.manifest import Manifest
from server.engine.folders import open_found
from server.engine.shared.arena import Arena
from server.engine.shared.board import Board

_PIECE = 2**16


@dataclass(frozen=True, slots=True)
class Wanted:
    """The engine that a process wants to have run.

    Attributes:
        id: of the bundle.
        manifest: the digest of its manifest, which names its files by theirs.
        kind: of engine.
    """

    id: str
    manifest: str
    kind: EngineKind

    @classmethod
    def of(cls, bundle: Bundle, kind: EngineKind) -> "Wanted":
        return cls(bundle.id, sha256(bundle.manifest.model_dump_json().encode()).hexdigest(), kind)

    def find(self, folder: Path) -> Bundle:
        """Returns the bundle as whoever wants it knows it. Raises BundleError if it is not so here.

        Args:
            folder: of bundles, beside those that are shipped.
        """
        try:
            bundle = open_found(self.id, folder)
        except KeyError:
            raise BundleError("it is not on this server") from None
        if Wanted.of(bundle, self.kind) != self:
            raise BundleError("it was changed, or is another one on this server", bundle.path)
        return bundle


@dataclass(frozen=True, slots=True)
class Terms:
    """The answer of the process that embeds.

    Attributes:
        kind: of the engine that runs.
        max_batch: of it.
        slots: that the arena shall have.
        row: of the board, for the process.
    """

    kind: EngineKind
    max_batch: int
    slots: int
    row: int


def ask(connected: socket.socket, wanted: Wanted) -> tuple[Terms, Board]:
    """Asks for an engine, and waits until it is open.

    Raises:
        EngineError, BundleError: the other process cannot open it.
        OSError: the other process has ended.
    """
    connected.sendall(json.dumps(asdict(wanted)).encode() + b"\n")
    told, descriptors = _line(connected)
    if "problem" in told:
        raise (BundleError if told["of_bundle"] else EngineError)(told["problem"])
    return Terms(**told), Board.at(_only(descriptors))


def share(connected: socket.socket, manifest: Manifest, slots: int) -> Arena:
    """Makes memory and sends it. Raises NoMemory or OSError."""
    arena, descriptor = Arena.make(manifest, slots)
    try:
        socket.send_fds(connected, [b"\1"], [descriptor])
    finally:
        os.close(descriptor)
    return arena


def hear(connected: socket.socket) -> Wanted:
    """Returns what a process asks for.

    Raises:
        OSError: it has ended.
        ValueError: it asks for nothing that there is.
    """
    told, _ = _line(connected)
    try:
        return Wanted(**told)
    except TypeError as error:
        raise ValueError(f"a process asks for {told}") from error


def agree(connected: socket.socket, terms: Terms, board: int) -> None:
    """Tells a process the terms, and sends it a descriptor of the board. Raises OSError: it has ended."""
    socket.send_fds(connected, [json.dumps(asdict(terms)).encode() + b"\n"], [board])


def refuse(connected: socket.socket, error: EngineError | BundleError) -> None:
    """Tells a process why it gets no engine. Raises OSError: it has ended."""
    told = {"problem": error.problem, "of_bundle": isinstance(error, BundleError)}
    connected.sendall(json.dumps(told).encode() + b"\n")


def receive(connected: socket.socket, manifest: Manifest, slots: int) -> Arena:
    """Returns the memory that a process sends.

    Raises:
        OSError: it has ended.
        ValueError: the memory is too small.
    """
    _, descriptors = _received(connected, 1)
    return Arena(_only(descriptors), manifest, slots)


def _line(connected: socket.socket) -> tuple[dict[str, Any], list[int]]:
    line, descriptors = b"", list[int]()
    while not line.endswith(b"\n"):
        piece, more = _received(connected, _PIECE)
        line += piece
        descriptors += more
    told: dict[str, Any] = json.loads(line)
    return told, descriptors


def _received(connected: socket.socket, size: int) -> tuple[bytes, list[int]]:
    piece, descriptors, _, _ = socket.recv_fds(connected, size, 1)
    if not piece:
        raise ConnectionResetError("the other process has ended")
    return piece, descriptors


def _only(descriptors: list[int]) -> int:
    if not descriptors:  # This process has as many as it may have.
        raise OSError(errno.EMFILE, "no descriptor could be received")
    return descriptors[0]
