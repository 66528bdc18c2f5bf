"""`headstart-server`: reads the settings, opens everything, serves until told to stop."""

import gc
import signal
import socket
import sys
from collections.abc import Sequence

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

from server.logs import configure_logging
from server.settings import InvalidSettings, load_settings
from server.store import StoreError

_GARBAGE_THRESHOLDS = (100_000, 10, 50)
_SWITCH_SECONDS = 0.001


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 after a clean stop, 1 when it could not start, 2 when the settings make no sense."""
    print_anything()
    try:
        settings = load_settings(sys.argv[1:] if argv is None else argv)
    except InvalidSettings as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 2
    configure_logging(settings)
    try:
        socket.create_server((settings.host, settings.port), family=_family(settings.host)).close()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        print(f"headstart-server: cannot listen on {where} ({error.strerror}); choose another --port", file=sys.stderr)
        return 1
    # How long the event loop waits for a thread that computes in Python; five times as long by default.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # As many fits run at once as there are cores. Two matrix products that share cores wait for each other many times as long as
    # they compute, and everybody with them.
    threadpool_limits(1, user_api="blas")
    try:
        app = create_app(settings)
    except (BundleError, EngineError, StoreError) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1
    # A garbage collection holds up every request while it looks at all there is: near a tenth of a second for what start-up
    # made, which stays, and more for the requests that wait in an overloaded server, which leave no cycles behind.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # ours say more
        proxy_headers=False,  # nothing here asks who the client is
        timeout_graceful_shutdown=settings.shutdown_timeout,
        server_header=False,
    )
    # Uvicorn raises the signal that stopped it once more when it is done; by then that is no news, and the exit status is 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    server = uvicorn.Server(config)
    server.run()
    return 0


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


if __name__ == "__main__":
    sys.exit(main())
