"""`headstart-server`: reads the settings, opens everything, and serves until a signal stops it.

`headstart-server keys` makes and revokes API keys instead, and `headstart-server quotas` sets quotas.
"""
# ruff: noqa: E402

from server.starting import SIGNALS, leave_when_told

leave_when_told()  # before the imports that follow, which take a second or more

import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from models.bundle import BundleError
from models.console import print_anything

try:
    from models.engine import EngineError
    from server.app import create_app
except ModuleNotFoundError as error:
    if error.name != "onnxruntime":
        raise
    sys.exit("headstart-server needs ONNX Runtime: pip install '.[cpu]', or '.[gpu]' for CUDA")

from server.commands.keys import keys_command
from server.commands.quotas import quotas_command
from server.hosts import ANY
from server.http.connections import Connections, TooManyConnections, connections_that_fit
from server.http.front import Front
from server.http.protocol import Config
from server.logs import configure_logging
from server.settings import InvalidSettings, Settings, load_settings
from server.store.store import StoreError

_log = logging.getLogger(__name__)

_COMMANDS = {"keys": keys_command, "quotas": quotas_command}
_GARBAGE_THRESHOLDS = (100_000, 10, 50)
_SWITCH_SECONDS = 0.001


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the server, or one of the `_COMMANDS`.

    Returns:
        The exit status of the server: 0 after a clean stop, 1 if it could not start, 2 for invalid settings.
    """
    print_anything()
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and (command := _COMMANDS.get(arguments[0])):
        return command(arguments[1:])
    try:
        _run(load_settings(arguments))
    except (InvalidSettings, TooManyConnections) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 2
    except (BundleError, EngineError, StoreError, _NotListening) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1
    return 0


class _NotListening(Exception):
    """The address is taken, or is not of this machine."""


def _run(settings: Settings) -> None:
    """Opens everything and serves. Raises what prevents the start."""
    configure_logging(settings)
    os.umask(0o077)  # Files beside the database are private to its owner, like the database.
    if ANY in settings.hosts:
        _log.info("requests are served whatever name their Host has; --allowed-hosts keeps web pages of other names out")
    _check_address(settings)
    # The time that the event loop waits for a thread that computes in Python. The default is five times as long.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # As many fits run at once as there are cores. Matrix products that share cores wait for each other many times as long as they
    # compute, and everybody waits with them.
    threadpool_limits(1, user_api="blas")
    most = connections_that_fit(settings.max_connections)
    app = create_app(settings)
    # A garbage collection holds up every request while it looks at all objects. The objects of the start take nearly a tenth of a
    # second, and they stay anyway. Waiting requests of an overloaded server take more, and they leave no cycles behind.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    _serve(app, Connections(most, settings.header_timeout, settings.body_timeout, settings.body_rate), settings)


def _check_address(settings: Settings) -> None:
    """Raises _NotListening if the address cannot be had, and InvalidSettings if the certificate cannot be used."""
    try:
        socket.create_server((settings.host, settings.port), family=_family(settings.host)).close()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise _NotListening(f"cannot listen on {where} ({error.strerror}); choose another --port") from error
    if settings.ssl_certfile is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
        except OSError as error:  # Those of TLS are among them.
            raise InvalidSettings(f"ssl-certfile, ssl-keyfile: {error.strerror or error}") from error


def _serve(app: Front, connections: Connections, settings: Settings) -> None:
    """Serves until a signal tells the process to stop."""
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
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
    )
    server = uvicorn.Server(config)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # These handlers serve until uvicorn installs its own. When uvicorn is done, it raises the signal that stopped it once more.
    # Then these handlers change nothing, and the exit status is 0.
    for number in SIGNALS:
        signal.signal(number, stop)
    server.run()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


if __name__ == "__main__":
    sys.exit(main())
