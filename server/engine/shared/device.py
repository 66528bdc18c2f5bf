"""The engines of a server with several processes, in the one that embeds: they are opened, run and closed as the others ask."""

import asyncio
import json
import logging
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.bundle import Bundle, BundleError
from models.engine import Engine, EngineError, EngineKind, on_cuda, open_engine, release_memory
from models.manifest import Manifest
from models.runtimes.batches import MAX_BATCH, MAX_BATCH_CUDA
from server.engine.batcher import Batcher
from server.engine.shared import handshake
from server.engine.shared.arena import NoMemory
from server.engine.shared.board import Board
from server.engine.shared.guest import Guest
from server.engine.shared.handshake import Terms, Wanted
from server.metrics import Metrics
from server.settings import Settings
from server.tracing import Tracing

_log = logging.getLogger(__name__)

_ARENA_BATCHES = 2  # that a process's slots hold: one is embedded while the next one comes
_GREETING_SECONDS = 10.0
_UNBOUNDED = 2**62  # Those who send images admit them.


@dataclass(eq=False)
class _Running:
    """An engine that runs.

    Attributes:
        descriptor: of the board, to send.
        free_rows: of the board.
        users: the number of processes that use it or are about to.
    """

    kind: EngineKind
    manifest: Manifest
    max_batch: int
    batcher: Batcher
    board: Board
    descriptor: int
    free_rows: list[int]
    users: int = 0

    @property
    def slots(self) -> int:
        return _ARENA_BATCHES * (MAX_BATCH_CUDA if on_cuda(self.kind) else MAX_BATCH)


class Device:
    """Opens, runs and closes engines for other processes. Use it on the event loop.

    Args:
        remembered: a file that names the open engines. Whoever replaces this process opens them before it serves.
    """

    def __init__(self, settings: Settings, metrics: Metrics, tracing: Tracing | None, remembered: Path) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tracing = tracing
        self._remembered = remembered
        self._running: dict[Wanted, _Running] = {}  # by what was asked for; never `auto`
        self._chosen: dict[Wanted, EngineKind] = {}  # what `auto` has taken
        self._one_at_a_time = asyncio.Lock()  # Opening takes the cores and the memory of another engine.
        self._guests: set[Guest] = set()
        self._greeting: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._left = asyncio.Event()

    async def open_remembered(self) -> None:
        """Opens what was open in the process before this one. What cannot be opened is logged, and tried again when asked for."""
        with suppress(FileNotFoundError, json.JSONDecodeError):
            for wanted, kind in json.loads(self._remembered.read_text()):
                try:
                    await self._opened(Wanted(**{**wanted, "kind": kind}))
                    self._chosen[Wanted(**wanted)] = kind
                except (EngineError, BundleError) as error:
                    _log.warning("%s cannot be opened: %s", wanted["id"], error)

    def accept_from(self, listener: socket.socket) -> None:
        """Takes connections from now on."""
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def leave(self, listener: socket.socket, patience: float) -> None:
        """Takes no more connections, answers what it took, and ends. Another process may take what comes from now on."""
        asyncio.get_running_loop().remove_reader(listener)
        self._leaving = True
        await asyncio.gather(*self._greeting, return_exceptions=True)
        for guest in self._guests:
            guest.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._guests:
                    self._left.clear()
                    await self._left.wait()
        await asyncio.gather(*self._closing, *(asyncio.to_thread(running.batcher.close) for running in self._running.values()))

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # Another process was quicker, or the connection has ended.
            connected, _ = listener.accept()
            task = asyncio.get_running_loop().create_task(self._greet(connected))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _greet(self, connected: socket.socket) -> None:
        """Agrees with a process on an engine and memory, and begins to serve it."""
        connected.settimeout(_GREETING_SECONDS)
        try:
            wanted = await asyncio.to_thread(handshake.hear, connected)
            try:
                running, row = await self._used(wanted)
            except (EngineError, BundleError) as error:
                _log.warning("%s cannot be opened: %s", wanted.id, error)
                handshake.refuse(connected, error)
                connected.close()
                return
            await self._serve(connected, running, row)
        except (OSError, ValueError) as error:
            _log.warning("a process ended before it was served: %r", error)
            connected.close()

    async def _serve(self, connected: socket.socket, running: _Running, row: int) -> None:
        try:
            handshake.agree(connected, Terms(running.kind, running.max_batch, running.slots, row), running.descriptor)
            arena = await asyncio.to_thread(handshake.receive, connected, running.manifest, running.slots)
        except BaseException:
            self._give_back(running, row)
            raise

        def end(guest: Guest) -> None:
            self._guests.discard(guest)
            self._left.set()
            self._give_back(running, row)

        guest = Guest(running.batcher, arena, running.board, self._tracing, end)
        self._guests.add(guest)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: guest, connected)

    async def _used(self, wanted: Wanted) -> tuple[_Running, int]:
        """Returns an engine, opened if need be, and the row of its board for one more user. Raises EngineError or BundleError."""
        async with self._one_at_a_time:
            running = await self._opened(wanted)
            if not running.free_rows:
                raise EngineError("too many processes use the engine")
            running.users += 1
            return running, running.free_rows.pop(0)

    async def _opened(self, wanted: Wanted) -> _Running:
        kind = self._chosen.get(wanted, wanted.kind)
        running = self._running.get(replace(wanted, kind=kind))
        if running is None:
            bundle, engine = await asyncio.to_thread(self._open, wanted, kind)
            self._chosen[wanted] = engine.kind
            exact = replace(wanted, kind=engine.kind)
            running = self._running.get(exact)  # `auto` may have taken what runs already.
            if running is None:
                running = self._running[exact] = self._run(bundle, engine)
                _log.info("%s runs on %s for all processes", bundle.id, engine.kind)
            self._remember()
        return running

    def _open(self, wanted: Wanted, kind: EngineKind) -> tuple[Bundle, Engine]:
        """Opens a bundle as the process that wants it knows it. Raises EngineError or BundleError."""
        bundle = wanted.find(self._settings.bundles_dir)
        engine = open_engine(bundle, kind, self._settings.threads, self._settings.data_dir)
        release_memory()
        return bundle, engine

    def _run(self, bundle: Bundle, engine: Engine) -> _Running:
        rows = 2 * (self._settings.processes + 1)  # Each process may be there twice while it is replaced.
        try:
            descriptor = Board.make(rows)
        except NoMemory as error:
            raise EngineError(str(error)) from error
        batcher = Batcher(engine, lambda _embeddings, _asked: [], _UNBOUNDED, bundle.id, self._metrics)
        board = Board.at(os.dup(descriptor))
        return _Running(engine.kind, bundle.manifest, engine.max_batch, batcher, board, descriptor, list(range(rows)))

    def _give_back(self, running: _Running, row: int) -> None:
        """Takes an engine back from a user. It is closed with the last."""
        running.board.rows[row] = 0
        running.free_rows.append(row)
        running.users -= 1
        if not running.users and not self._leaving:
            exact = next(each for each, other in self._running.items() if other is running)
            del self._running[exact]
            self._remember()
            closing = asyncio.get_running_loop().create_task(self._close(running, exact.id))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self, running: _Running, name: str) -> None:
        await asyncio.to_thread(running.batcher.close)
        os.close(running.descriptor)
        _log.info("closed %s on %s", name, running.kind)
        await asyncio.to_thread(release_memory)

    def _remember(self) -> None:
        open_now = [
            (asdict(wanted), kind) for wanted, kind in self._chosen.items() if replace(wanted, kind=kind) in self._running
        ]
        with suppress(OSError):  # Whoever replaces this process opens engines when they are asked for, then.
            written = self._remembered.with_suffix(".new")
            written.write_text(json.dumps(open_now))
            written.replace(self._remembered)
