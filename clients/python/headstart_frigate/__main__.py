"""`headstart-frigate`: runs the bridge."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from headstart import Client, HeadstartError
from headstart_frigate.messages import broker_at

_log = logging.getLogger("headstart_frigate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the bridge until it is stopped, and returns its exit code."""
    parser = argparse.ArgumentParser("headstart-frigate", description="Asks a Headstart task about each snapshot of Frigate.")
    parser.add_argument("--task", metavar="ID", required=True, help="the task's id; `headstart list` shows it")
    parser.add_argument("--url", help="of the Headstart server (HEADSTART_URL); HEADSTART_TOKEN is the key for it")
    parser.add_argument(
        "--broker",
        metavar="URL",
        default="mqtt://localhost",
        help="mqtt://HOST[:PORT], or mqtts:// for TLS (default %(default)s); MQTT_USERNAME and MQTT_PASSWORD log in",
    )
    parser.add_argument("--prefix", default="frigate", help="Frigate's topic_prefix (default %(default)s)")
    parser.add_argument(
        "--object", metavar="OBJECT", action="append", default=[], help="such as car; may be repeated (default: every object)"
    )
    given = parser.parse_args(arguments)
    try:
        broker, client = broker_at(given.broker), Client(given.url)
    except ValueError as error:
        parser.error(str(error))
    try:
        from headstart_frigate.bridge import LASTING, Bridge, BrokerRefused
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "paho":
            raise
        print("paho-mqtt is not installed: pip install 'headstart-client[mqtt]'", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with client:
        try:
            _check(client, given.task, LASTING)
            Bridge(client, given.task, broker, given.prefix, given.object).run()
        except LASTING as error:
            print(f"{client.url} refuses: {error}", file=sys.stderr)
        except BrokerRefused as error:
            print(f"the broker at {broker.host}:{broker.port} refuses: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            return 0
    return 1


def _check(client: Client, task: str, lasting: tuple[type[HeadstartError], ...]) -> None:
    """Asks for the task once. A server that is away may come later; only a refusal that lasts is raised."""
    try:
        client.task(task)
    except lasting:
        raise
    except HeadstartError as error:
        _log.warning("%s; trying again when there is a snapshot", error)


if __name__ == "__main__":
    sys.exit(main())
