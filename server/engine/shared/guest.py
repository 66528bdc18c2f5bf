"""The end of a connection in the process that embeds: images of one other process, and what became of them."""

import asyncio
import logging
from collections.abc import Callable

from models.arrays import on_host
from server.context import request_id, tenant_id
from server.engine.batcher import Batcher
from server.engine.shared.arena import Arena
from server.engine.shared.board import Board
from server.engine.shared.messages import ASKED_BYTES, BrokenMessage, Cancel, Done, Embed, Leaving, Pieces, read_asked
from server.errors import EngineFailed
from server.tracing import Tracing, current_span

_log = logging.getLogger(__name__)


class Guest(asyncio.Protocol):
    """Embeds what a process sends, in batches with the images of others.

    The memory is the process's. It changes nothing in a slot between sending it and hearing that it is done. Here nothing is
    written for a request that was cancelled, or after the connection has ended.

    Args:
        batcher: of the engine.
        arena: the process's memory.
        board: of the engine, which is told its pace.
        tracing: None without traces.
        on_end: called when the connection has ended.
    """

    def __init__(
        self, batcher: Batcher, arena: Arena, board: Board, tracing: Tracing | None, on_end: Callable[["Guest"], None]
    ) -> None:
        self._batcher = batcher
        self._arena = arena
        self._board = board
        self._tracing = tracing
        self._on_end = on_end
        self._pieces = Pieces(ASKED_BYTES)
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._done: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._pieces.take(data):
                self._handle(read_asked(message))
        except BrokenMessage:
            _log.error("a process sent what is no message; its connection is closed")
            self._close()

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        for task in self._under_way.values():
            task.cancel()
        self._on_end(self)

    def leave(self) -> None:
        """Asks the process to send its images to another one. It ends the connection when it has all answers."""
        self._say(Leaving().packed())

    def _handle(self, asked: Embed | Cancel) -> None:
        if isinstance(asked, Cancel):
            if task := self._under_way.get(asked.slot):
                task.cancel()
            return
        if asked.slot + asked.count > len(self._arena.pixels) or asked.slot in self._under_way:
            raise BrokenMessage
        task = asyncio.get_running_loop().create_task(self._embed(asked))
        self._under_way[asked.slot] = task
        task.add_done_callback(lambda ended: self._finish(asked.slot, ended))

    async def _embed(self, asked: Embed) -> None:
        """Embeds images where they lie. Raises EngineFailed."""
        tenant_id.set(asked.tenant)
        request_id.set(asked.request)
        if asked.trace is not None and self._tracing is not None:
            current_span.set(self._tracing.elsewhere(asked.trace))
        slots = slice(asked.slot, asked.slot + asked.count)
        embed = self._batcher.embed_in_background if asked.background else self._batcher.embed
        embeddings = on_host(await embed(self._arena.pixels[slots]))
        if self._transport is not None:
            self._arena.embeddings[slots] = embeddings

    def _finish(self, slot: int, ended: "asyncio.Task[None]") -> None:
        del self._under_way[slot]
        error = None if ended.cancelled() else ended.exception()
        if error is not None and not isinstance(error, EngineFailed):  # which the batcher has logged
            _log.error("images of a process could not be embedded", exc_info=error)
        self._board.seconds_per_image = self._batcher.seconds_per_image
        self._say(Done(slot, ended.cancelled() or error is not None).packed())

    def _say(self, message: bytes) -> None:
        """Sends a message, together with others of this turn of the event loop."""
        if not self._done:
            asyncio.get_running_loop().call_soon(self._flush)
        self._done.append(message)

    def _flush(self) -> None:
        told, self._done = self._done, []
        if self._transport is not None:
            self._transport.write(b"".join(told))

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
