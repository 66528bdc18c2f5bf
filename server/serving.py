"""A process that serves: alone, or at its seat among several."""

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from threadpoolctl import threadpool_limits

from models.bundle import BundleError

try:
    from models.engine import EngineError, keep_freed_memory_together
    from server.app import create_app
except ModuleNotFoundError as error:
    if error.name != "onnxruntime":
        raise
    sys.exit("headstart-server needs ONNX Runtime: pip install '.[cpu]', or '.[gpu]' for CUDA")

from server.errors import StorageFailed
from server.hosts import ANY
from server.http.connections import Connections, TooManyConnections, connections_that_fit
from server.http.inside import Application
from server.http.protocol import Config
from server.leaving import Leaving
from server.logs import configure_logging
from server.seat import Seat, sit_down
from server.settings import Settings
from server.starting import SIGNALS, collect_less, put_event_loop_first
from server.store.store import StoreError

if TYPE_CHECKING:
    from server.grpc.door import GrpcDoor

_log = logging.getLogger(__name__)

_LINGER_SECONDS = 1.0


def serve(settings: Settings, seat: Seat | None) -> int:
    """Opens everything, and serves until a signal tells the process to stop.

    Args:
        seat: among several processes.

    Returns:
        The exit status: 0 after a clean stop, 1 if it could not start, 2 for settings that are impossible here.

    Raises:
        InvalidSettings: other machines could reach the server, and it has no key.
        NotListening: the address of gRPC cannot be had.
    """
    try:
        _run(settings, seat)
    except TooManyConnections as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 2
    except (BundleError, EngineError, StoreError, StorageFailed) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1
    return 0


def _run(settings: Settings, seat: Seat | None) -> None:
    configure_logging(settings, seat.name if seat else None)
    os.umask(0o077)  # Files beside the database are private to its owner, like the database.
    if seat is not None:
        sit_down(seat)
    if ANY in settings.hosts and (seat is None or seat.owns):
        _log.info("requests are served whatever name their Host has; --allowed-hosts keeps web pages of other names out")
    put_event_loop_first()
    keep_freed_memory_together()
    # As many fits run at once as there are cores. Matrix products that share cores wait for each other many times as long as they
    # compute, and everybody waits with them.
    threadpool_limits(1, user_api="blas")
    answers = seat is None or not seat.owns
    with_grpc = settings.grpc_port is not None and answers
    most = connections_that_fit(settings.max_connections, 2 if with_grpc else 1)
    leaving = Leaving(seat.leaving if seat else None)
    app = create_app(settings, seat, leaving)
    grpc = _grpc_door(app, settings, most, shared=seat is not None) if with_grpc else None
    collect_less()
    linger = 0.0 if seat is None else _LINGER_SECONDS
    connections = Connections(most, settings.header_timeout, settings.body_timeout, settings.body_rate, linger, leaving)
    _serve(app, connections, settings, seat, grpc)


def _grpc_door(app: Application, settings: Settings, most: int, *, shared: bool) -> "GrpcDoor":
    """Returns what serves gRPC. Its packages are imported where somebody asks for it.

    The library would write lines of its own among ours, which are no JSON and which strangers cause.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from server.grpc.door import GrpcDoor

    return GrpcDoor(app, settings, most, shared=shared)


class _Server(uvicorn.Server):
    """Uvicorn's server. It says when it serves, and goes on for a while when it is told to stop.

    Args:
        drain_seconds: how long. A second signal ends that.
        grpc: serves gRPC beside it; None if nothing does.
    """

    def __init__(self, config: Config, seat: Seat | None, drain_seconds: float, grpc: "GrpcDoor | None") -> None:
        super().__init__(config)
        self._seat = seat
        self._leaving = config.shared.leaving
        self._drain_seconds = drain_seconds
        self._leaves_at = math.inf
        self._grpc = grpc

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._grpc is not None:
            await self._grpc.open()
        if self._seat is not None:
            self._seat.say_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._grpc is not None:
            closing = asyncio.ensure_future(self._grpc.close())
            self.server_state.tasks.add(closing)  # Uvicorn waits for it as for the requests under way.
            closing.add_done_callback(self.server_state.tasks.discard)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain_seconds and not self._leaving.begun:
            self._leaves_at = time.monotonic() + self._drain_seconds
            self._leaving.begin()
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if time.monotonic() >= self._leaves_at:
            self.should_exit = True
        return await super().on_tick(counter)


def _serve(app: Application, connections: Connections, settings: Settings, seat: Seat | None, grpc: "GrpcDoor | None") -> None:
    tells_tls = seat is None or not seat.owns
    config = Config(
        app,
        connections,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # our own log lines say more
        proxy_headers=False,  # nothing here uses the client's address
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.shutdown_timeout,
        server_header=False,
        ssl_certfile=settings.ssl_certfile if tells_tls else None,
        ssl_keyfile=settings.ssl_keyfile if tells_tls else None,
    )
    drain_seconds = settings.drain_seconds if seat is None else 0.0  # With several, the supervisor waits.
    server = _Server(config, seat, drain_seconds, grpc)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # These handlers serve until uvicorn installs its own. When uvicorn is done, it raises the signal that stopped it once more.
    # Then these handlers change nothing, and the exit status is 0.
    for number in SIGNALS:
        signal.signal(number, stop)
    server.run(None if seat is None else [socket.socket(fileno=seat.listener)])
