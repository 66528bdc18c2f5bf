"""`headstart-label-studio`: runs the backend that Label Studio calls."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from headstart import Client


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the backend until it is stopped, and returns its exit code."""
    parser = argparse.ArgumentParser("headstart-label-studio", description="A machine-learning backend of Label Studio.")
    parser.add_argument(
        "--label-studio",
        metavar="URL",
        default=os.environ.get("LABEL_STUDIO_URL"),
        help="where Label Studio is; images come from this host alone (LABEL_STUDIO_URL); LABEL_STUDIO_API_KEY is the key for it",
    )
    parser.add_argument("--url", help="of the Headstart server (HEADSTART_URL); HEADSTART_TOKEN is the key for it")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=9090, help="port to listen on (default %(default)s)")
    given = parser.parse_args(arguments)
    if not given.label_studio:
        parser.error("say where Label Studio is: --label-studio URL")
    try:
        import uvicorn

        from headstart_label_studio.app import create_app
        from headstart_label_studio.images import Images
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed: pip install 'headstart-client[label-studio]'", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    images = Images(given.label_studio, os.environ.get("LABEL_STUDIO_API_KEY"))
    uvicorn.run(create_app(Client(given.url), images), host=given.host, port=given.port, log_config=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
