"""A process's connection to the one that embeds: slots for its images, and a thread that reads what is said of them."""

import socket
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from models.bundle import Bundle
from models.engine import EngineError, EngineKind
from server.engine.answering import Answers, results_of, tell
from server.engine.queue import Entry, is_cancelled
from server.engine.shared import handshake
from server.engine.shared.arena import NoMemory
from server.engine.shared.messages import TOLD_BYTES, BrokenMessage, Cancel, Done, Embed, Leaving, Pieces, read_told
from server.engine.shared.slots import Slots
from server.fair_queue import FairQueue

_MOST_REQUESTS = 128  # under way. So the socket has room for all that is said of them, and no send blocks.
_OPENING_SECONDS = 300.0  # TensorRT takes minutes.
_PIECE = 2**16


class Ended(Exception):
    """The connection has ended, and with it all that was under way."""


class Connection:
    """One backbone, run by another process. What is put here while no slots are free waits in its tenant's turn.

    Args:
        bundle: of the backbone.
        kind: of engine that is wanted.
        path: of the other process's socket.

    Attributes:
        terms: what the other process told.
        board: of the engine.

    Raises:
        EngineError, BundleError: the other process cannot open it.
        OSError: that process has ended.
    """

    def __init__(self, bundle: Bundle, kind: EngineKind, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        weakref.finalize(self, self._socket.close)
        self._socket.settimeout(_OPENING_SECONDS)
        self._socket.connect(str(path))
        self.terms, self.board = handshake.ask(self._socket, handshake.Wanted.of(bundle, kind))
        try:
            self._arena = handshake.share(self._socket, bundle.manifest, self.terms.slots)
        except NoMemory as error:
            raise EngineError(str(error)) from error
        self._socket.settimeout(None)
        self._slots = Slots(self.terms.slots)
        self._waiting = FairQueue[Entry](is_cancelled)
        self._sent: dict[int, Entry] = {}
        self._lock = threading.Condition()
        self._unsent: list[bytes] = []
        self._is_flushing = self._leaving = self._ended = False

    def put(self, entry: Entry) -> None:
        """Has images embedded. Raises Ended: another connection must be taken."""
        with self._lock:
            if self._leaving or self._ended:
                raise Ended
            self._waiting.put(entry.tenant, entry, len(entry.pixels))
            self._send_waiting()
            if not self._is_flushing:  # What else is put in this turn of the event loop goes with it.
                self._is_flushing = True
                entry.result.get_loop().call_soon(self._flush)

    def cancel(self, entry: Entry) -> None:
        """Says that nobody waits for an entry any more. Its slots are free when the other process has done with them."""
        with self._lock:
            slot = next((slot for slot, sent in self._sent.items() if sent is entry), None)
            if slot is not None and not self._ended:
                self._unsent.append(Cancel(slot).packed())
                self._send()

    def listen(self, answers: Answers, on_leaving: Callable[[], None]) -> None:
        """Reads what the other process says, until the connection ends. What was under way then waits for `fail`.

        Args:
            answers: called on this thread for what was embedded.
            on_leaving: called once if another process takes the requests from now on.
        """
        pieces = Pieces(TOLD_BYTES)
        with suppress(OSError, BrokenMessage):
            while piece := self._socket.recv(_PIECE):
                told = [read_told(message) for message in pieces.take(piece)]
                self._finish([each for each in told if isinstance(each, Done)], answers)
                if Leaving() in told:
                    on_leaving()

    def fail(self) -> None:
        """Has all that was under way fail with Ended. Call it when nothing is put here any more."""
        with self._lock:
            self._ended = True
            left = [*self._sent.values(), *self._waiting.clear()]
            self._sent.clear()
            self._lock.notify_all()
        self._hang_up()
        tell(left, None, Ended)

    def leave(self, patience: float | None = None) -> None:
        """Takes no more, and ends the connection when everything is answered.

        Args:
            patience: the most seconds to wait for that; None not to wait.
        """
        with self._lock:
            self._leaving = True
            self._hang_up_if_done()
            if patience is not None and not self._lock.wait_for(lambda: self._ended, patience):
                self._hang_up()

    def _finish(self, done: Sequence[Done], answers: Answers) -> None:
        """Takes the embeddings, frees the slots for others, and then answers the questions."""
        with self._lock:
            if not {each.slot for each in done} <= self._sent.keys():
                raise BrokenMessage
            finished = [(self._sent[each.slot], each) for each in done]
            good = [(entry, each.slot) for entry, each in finished if not each.failed and not entry.result.cancelled()]
            rows = [self._arena.embeddings[slot : slot + len(entry.pixels)] for entry, slot in good]
            embeddings = np.concatenate(rows) if rows else None  # a copy: the slots are others' now
            for entry, each in finished:
                del self._sent[each.slot]
                self._slots.give_back(each.slot, len(entry.pixels))
            self._send_waiting()
            self._send()
            self._hang_up_if_done()
        tell([entry for entry, each in finished if each.failed], None)
        if embeddings is not None:
            embedded = [entry for entry, _ in good]
            tell(embedded, results_of(embedded, embeddings, answers))

    def _send_waiting(self) -> None:
        while len(self._sent) < _MOST_REQUESTS and (entry := self._waiting.head()):
            count = len(entry.pixels)
            slot = self._slots.take(count)
            if slot is None:
                return
            self._sent[slot] = self._waiting.pop()
            self._arena.pixels[slot : slot + count] = entry.pixels
            trace = entry.span.packed() if entry.span else None
            self._unsent.append(Embed(slot, count, entry.tenant, entry.request, entry.background, trace).packed())

    def _flush(self) -> None:
        with self._lock:
            self._is_flushing = False
            self._send()

    def _send(self) -> None:
        told, self._unsent = b"".join(self._unsent), []
        try:
            if told and self._socket.send(told, socket.MSG_DONTWAIT) < len(told):
                self._hang_up()
        except OSError:  # The other process has ended, or hangs. Whoever listens is told.
            self._hang_up()

    def _hang_up_if_done(self) -> None:
        self._lock.notify_all()
        if self._leaving and not self._sent and not self._waiting.head():
            self._hang_up()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
