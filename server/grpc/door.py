"""The gRPC server of a process."""

from pathlib import Path
from typing import Any

import grpc

from server.grpc.servicer import service_handler
from server.http.inside import Application, Inside
from server.listening import NotListening
from server.settings import Settings

_HEAD_BYTES = 65_536  # of a call's metadata, as HTTP takes them
_LARGEST = 2**31 - 1  # The library's options are ints of C.


class GrpcDoor:
    """A gRPC server that asks the application.

    Args:
        most: calls at once, and connections.
        shared: whether other processes listen on the same port; the kernel deals out connections among them.
    """

    def __init__(self, app: Application, settings: Settings, most: int, *, shared: bool) -> None:
        self._settings = settings
        self._grace = settings.shutdown_timeout
        self._handler = service_handler(Inside(app, settings), settings)
        self._most = most
        self._options = [
            ("grpc.so_reuseport", int(shared)),
            ("grpc.max_receive_message_length", min(_LARGEST, settings.max_body_bytes)),
            ("grpc.max_metadata_size", _HEAD_BYTES),
            ("grpc.max_allowed_incoming_connections", most),
            ("grpc.server_handshake_timeout_ms", min(_LARGEST, int(1000 * settings.header_timeout))),
            ("grpc.http2.bdp_probe", 0),  # It would take in megabytes of each call before they are read.
            ("grpc.max_connection_idle_ms", min(_LARGEST, int(1000 * settings.keep_alive))),
        ]
        self._server: Any = None

    async def open(self) -> None:
        """Takes calls from now on.

        Raises:
            NotListening: the address cannot be had.
        """
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        self._server = grpc.aio.server(options=self._options, maximum_concurrent_rpcs=self._most)
        self._server.add_generic_rpc_handlers((self._handler,))
        try:
            if settings.ssl_certfile is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, _credentials(settings.ssl_certfile, settings.ssl_keyfile))
        except RuntimeError as error:
            raise NotListening(f"cannot listen on {address}; choose another --grpc-port") from error
        await self._server.start()

    async def close(self) -> None:
        """Takes no more calls, and returns when those under way are answered, or are cancelled after the time for that."""
        await self._server.stop(self._grace)


def _credentials(certificates: Path, key: Path | None) -> Any:
    chain = certificates.read_bytes()
    return grpc.ssl_server_credentials([(chain if key is None else key.read_bytes(), chain)])
