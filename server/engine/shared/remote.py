"""An engine that another process runs, and what stands in a batcher's place for it."""

import asyncio
import logging
import math
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from models.answers.question import Question
from models.arrays import Array
from models.bundle import Bundle
from models.engine import EngineError, EngineKind, file_of
from models.heads.head import EmbeddingSpace
from models.images.preprocess import Pixels
from server.engine.answering import Answers
from server.engine.batcher import background_chunk
from server.engine.queue import Entry, Result, joined
from server.engine.shared.admission import Admission
from server.engine.shared.connection import Connection, Ended
from server.errors import EngineFailed
from server.metrics import Metrics

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_REPLACED = "the process that runs the engine is being replaced; try again"


class RemoteEngine:
    """A bundle's backbone in the process that embeds.

    Args:
        path: of that process's socket.

    Attributes:
        first: the connection that it begins with; None once that is taken.

    Raises:
        EngineError, BundleError: the backbone cannot be run there.
    """

    device: Any = None

    def __init__(self, bundle: Bundle, kind: EngineKind, path: Path) -> None:
        self._bundle = bundle
        self._path = path
        self._wanted = kind
        try:
            first = self.connect()
        except OSError:  # The other process may have been killed, and its successor opens what this one asks for.
            try:
                first = self.connect()
            except OSError as error:
                raise EngineError("the process that runs the engines has ended", error) from error
        self.first: Connection | None = first
        self.kind = first.terms.kind
        self.max_batch = first.terms.max_batch
        self.space: EmbeddingSpace = bundle.space(file_of(self.kind))
        self._wanted = self.kind  # What an engine made so far is compared with must not change.

    def connect(self) -> Connection:
        """Returns a new connection. Blocks until the engine is open. Raises EngineError, BundleError or OSError."""
        return Connection(self._bundle, self._wanted, self._path)


class RemoteBatcher:
    """Has images embedded by another process, with the interface of `server.engine.batcher.Batcher`.

    When that process ends, what it had under way is sent to the one that replaces it, once. What waits for it longer than images
    may wait fails.

    Args:
        answers: called on a thread.
        capacity: the most images of all requests under way, of all processes.
        name: the bundle's id, for the metrics.
        longest_wait: seconds.
    """

    def __init__(
        self, engine: RemoteEngine, answers: Answers, capacity: int, name: str, metrics: Metrics, longest_wait: float = math.inf
    ) -> None:
        self._engine = engine
        self._answers = answers
        self._name = name
        self._max_batch = engine.max_batch
        self._longest_wait = longest_wait
        self._admission = Admission(capacity, engine.max_batch, longest_wait, metrics.admitted_images.labels(name))
        self._changing = threading.Lock()
        self._connection: Connection | None = None
        self._connecting = self._closing = False
        self._awaited: list[asyncio.Future[None]] = []  # by callers that found no connection
        first = engine.first
        assert first is not None
        engine.first = None  # Its memory goes with it.
        self._take(first)
        threading.Thread(target=self._listen, args=(first,), name=f"engine {name}", daemon=True).start()

    def room(self, tenant: str) -> int:
        """Returns the number of a tenant's images that would be admitted now."""
        return self._admission.room(tenant)

    def admit(self, images: int) -> AbstractContextManager[None]:
        """Reserves room for a whole request, as `Batcher.admit` does. Raises Overloaded."""
        return self._admission.admit(images)

    async def embed(self, pixels: Pixels) -> Array:
        """Returns the embeddings (N, D) of images (N, H, W, 3). Raises EngineFailed."""
        return (await self.run(pixels, None)).embeddings

    async def run(self, pixels: Pixels, question: Question | None) -> Result:
        """Returns the embeddings of images, and the answer to a question about them. Raises EngineFailed."""
        return await self._run_in_chunks(pixels, self._max_batch, question)

    async def embed_in_background(self, pixels: Pixels) -> Array:
        """Returns the same as `embed`. Other images come first, as in `Batcher.embed_in_background`."""
        chunk = background_chunk(self._max_batch)
        return (await self._run_in_chunks(pixels, chunk, background=True)).embeddings

    def close(self) -> None:
        """Waits some seconds until all is answered, and ends the connection. The other process closes what nobody uses."""
        with self._changing:
            self._closing = True
            connection = self._connection
        if connection is not None:
            connection.leave(_CLOSE_SECONDS)
        self._wake()

    async def _run_in_chunks(
        self, pixels: Pixels, size: int, question: Question | None = None, *, background: bool = False
    ) -> Result:
        chunks = [pixels[at : at + size] for at in range(0, len(pixels), size)]
        return joined([await self._embed(chunk, question, background) for chunk in chunks])

    async def _embed(self, pixels: Pixels, question: Question | None, background: bool) -> Result:
        for may_try_again in (True, False):
            entry = Entry(pixels, question, asyncio.get_running_loop().create_future(), background=background)
            connection = await self._connected()
            try:
                connection.put(entry)
                return await entry.result
            except asyncio.CancelledError:
                connection.cancel(entry)
                raise
            except Ended as error:
                if not may_try_again:
                    raise EngineFailed(_REPLACED) from error
        raise AssertionError

    async def _connected(self) -> Connection:
        """Returns the connection. Waits for one no longer than images may wait. Raises EngineFailed."""
        if (connection := self._connection) is not None and not self._closing:
            return connection
        try:
            async with asyncio.timeout(self._longest_wait):
                while True:
                    with self._changing:
                        if self._closing:
                            raise EngineFailed("the engine has stopped; try again")
                        if self._connection is not None:
                            return self._connection
                        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                        self._awaited.append(waking)
                    await waking
        except TimeoutError:
            raise EngineFailed(_REPLACED) from None

    def _take(self, connection: Connection) -> None:
        """Sends everything over a connection from now on. The one before it ends when it has answered all."""
        with self._changing:
            before, self._connection = self._connection, connection
            self._connecting = False
            closing = self._closing
            self._admission.move_to(connection.board, connection.terms.row)
        self._wake()
        if before is not None:
            before.leave()
        if closing:
            connection.leave()

    def _listen(self, connection: Connection) -> None:
        """Reads answers until the connection ends, on its own thread, and sees to another one."""
        try:
            connection.listen(self._answers, self._connect_again)
        except Exception:  # Whatever it was, there must be another connection.
            _log.exception("the connection to the process that runs the engines failed")
        finally:
            with self._changing:
                was_in_use = self._connection is connection
                if was_in_use:
                    self._connection = None
                    self._admission.move_to(None)
            connection.fail()  # now that those who try again find another one
        if was_in_use:
            self._connect_again()

    def _connect_again(self) -> None:
        with self._changing:
            if self._connecting or self._closing:
                return
            self._connecting = True
        threading.Thread(target=self._connect, name=f"engine {self._name}", daemon=True).start()

    def _connect(self) -> None:
        while not self._closing:
            try:
                connection = self._engine.connect()
            except Exception as error:  # Whatever it was, nobody else tries again.
                _log.warning("%s cannot be reached in the process that runs the engines: %s", self._name, error)
                time.sleep(_RETRY_SECONDS)
            else:
                self._take(connection)
                self._listen(connection)
                return

    def _wake(self) -> None:
        """Wakes the callers that wait for a connection."""
        with self._changing:
            awaited, self._awaited = self._awaited, []
        for waking in awaited:
            with suppress(RuntimeError):  # The loop was closed: nobody waits any more.
                waking.get_loop().call_soon_threadsafe(_set, waking)


def _set(waking: "asyncio.Future[None]") -> None:
    if not waking.done():
        waking.set_result(None)
