"""Messages between the owner and the workers of a server: Python objects over a Unix socket that only its user can reach.

Sending never blocks: each side queues its messages, and a thread sends them in their order. What a worker has queued outlives the
owner's being replaced. The owner's messages to a worker end with it, as does what the worker knew.
"""

import logging
import os
import pickle
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_RETRY_SECONDS = 0.1
_CLOSE_SECONDS = 5.0

_log = logging.getLogger(__name__)

Handler = Callable[[Any, Callable[[Any], None]], None]
"""Takes a message, and a function that sends another back. What it raises is logged, and the next message is read."""


class _Outbox:
    """The messages that wait to be sent."""

    def __init__(self) -> None:
        self.bytes = 0
        self._waiting: deque[tuple[Any, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, message: Any, size: int = 0) -> None:
        with self._changed:
            self.bytes += size
            self._waiting.append((message, size))
            self._changed.notify_all()

    def send_over(self, connection: "Connection[Any, Any]", ended: threading.Event) -> None:
        """Sends what waits and what comes, until the connection ends or the box is closed and empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed or ended.is_set())
                if ended.is_set() or not self._waiting:
                    return
                message, size = self._waiting[0]
            try:
                connection.send(message)
            except OSError:
                return
            with self._changed:
                self._waiting.popleft()
                self.bytes -= size
                self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Waits some seconds until all is sent, and takes no more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, _CLOSE_SECONDS)
            self._closed = True
            self._changed.notify_all()


def _converse(
    connection: "Connection[Any, Any]", outbox: _Outbox, handle: Handler, before_closing: Callable[[], None] | None = None
) -> None:
    """Sends what is in the box, and handles what is received, until the connection ends."""
    ended = threading.Event()
    sending = threading.Thread(target=outbox.send_over, args=(connection, ended), name="messages out", daemon=True)
    sending.start()
    try:
        while True:
            packed = connection.recv_bytes()
            try:
                handle(pickle.loads(packed), outbox.put)  # noqa: S301 -- only this server's user can connect
            except Exception:  # It may be of another release, while processes are replaced.
                _log.exception("a message between processes could not be handled")
    except (EOFError, OSError):
        pass
    finally:
        ended.set()
        outbox.wake()
        sending.join()
        if before_closing:
            before_closing()
        connection.close()


class Link:
    """A worker's end. It connects, and connects again whenever the owner has been replaced.

    Args:
        path: of the owner's socket for messages.
        handle: called on a thread of the link.
        on_connect: called on it too, whenever there is a new connection: the owner may have told of things meanwhile.
    """

    def __init__(self, path: Path, handle: Handler, on_connect: Callable[[], None]) -> None:
        self._path = path
        self._handle = handle
        self._on_connect = on_connect
        self._outbox = _Outbox()
        self._closing = False
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="messages", daemon=True)

    def start(self) -> None:
        """Begins to connect."""
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """The sizes of the messages that wait to be sent, as `send` was told."""
        return self._outbox.bytes

    def send(self, message: Any, size: int = 0) -> None:
        """Queues a message. Never blocks."""
        self._outbox.put(message, size)

    def close(self) -> None:
        """Sends what waits, for some seconds at most, and ends."""
        self._outbox.close()
        self._closing = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing:
            try:
                with socket.socket(socket.AF_UNIX) as opened:
                    opened.connect(str(self._path))
                    self._socket = opened
                    connection: Connection[Any, Any] = Connection(os.dup(opened.fileno()))
                    self._on_connect()
                    _converse(connection, self._outbox, self._handle)
            except OSError:  # The owner is being replaced.
                time.sleep(_RETRY_SECONDS)


class Hub:
    """The owner's end. Every worker connects to it.

    Args:
        path: of the socket to listen on; one that an owner before has left is replaced.
        handle: called on a thread for each worker.
    """

    def __init__(self, path: Path, handle: Handler) -> None:
        self._handle = handle
        self._outboxes: dict[_Outbox, int] = {}
        self._changing = threading.Lock()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, name="messages", daemon=True).start()

    def tell(self, message: Any) -> int:
        """Queues a message for every worker, and returns how many there are. Never blocks."""
        with self._changing:
            for outbox in self._outboxes:
                outbox.put(message)
            return len(self._outboxes)

    def close(self) -> None:
        """Takes no more workers, and ends the connections of those that there are: what they send waits for the next owner."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changing:
            for descriptor in self._outboxes.values():
                with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connected:
                    connected.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # It was closed.
            while True:
                opened, _ = self._listener.accept()
                connection: Connection[Any, Any] = Connection(opened.detach())
                threading.Thread(target=self._serve, args=(connection,), name="messages in", daemon=True).start()

    def _serve(self, connection: "Connection[Any, Any]") -> None:
        outbox = _Outbox()
        with self._changing:
            self._outboxes[outbox] = connection.fileno()
        _converse(connection, outbox, self._handle, lambda: self._leave(outbox))

    def _leave(self, outbox: _Outbox) -> None:
        with self._changing:
            del self._outboxes[outbox]
