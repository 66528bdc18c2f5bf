"""The sockets that a server listens on."""

import socket
import ssl
from importlib.util import find_spec
from pathlib import Path

from server.settings import InvalidSettings, Settings

_NEEDED_BY_GRPC = ("grpc", "google", "google.protobuf")
_BACKLOG = 2048  # connections that wait to be taken


class NotListening(Exception):
    """The address is taken, or is not of this machine."""


def check_address(settings: Settings) -> None:
    """Checks what the server will listen with, before anything else is done.

    Raises:
        NotListening: the address cannot be had.
        InvalidSettings: the certificate cannot be used, or what serves gRPC is not installed.
    """
    _check_port(settings.host, settings.port, "--port")
    if settings.grpc_port is not None:
        if not all(map(find_spec, _NEEDED_BY_GRPC)):
            raise InvalidSettings("grpc-port: gRPC is missing: pip install '.[cpu,grpc]'")
        _check_port(settings.host, settings.grpc_port, "--grpc-port")
    if settings.ssl_certfile is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
        except OSError as error:  # Those of TLS are among them.
            raise InvalidSettings(f"ssl-certfile, ssl-keyfile: {error.strerror or error}") from error


def _check_port(host: str, port: int, flag: str) -> None:
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        raise NotListening(f"cannot listen on {host}:{port} ({error.strerror}); choose another {flag}") from error


def shared_listener(settings: Settings) -> socket.socket:
    """Returns a socket at the server's address, one of several. The kernel deals out connections among them."""
    address = (settings.host, settings.port)
    return socket.create_server(address, family=_family(settings.host), backlog=_BACKLOG, reuse_port=True)


def local_listener(path: Path) -> socket.socket:
    """Returns a Unix socket at a path."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(_BACKLOG)
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
