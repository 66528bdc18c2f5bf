"""The `headstart` command: `python -m headstart` is the same."""

import sys
from collections.abc import Sequence

from headstart.cli.arguments import parse_arguments
from headstart.cli.failures import Exit, Misused, explain
from headstart.cli.output import Output
from headstart.client import Client
from headstart.errors import HeadstartError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = parse_arguments(arguments)
    output = Output(as_json=args.json)
    try:
        with _client(args.url) as client:
            code: Exit = args.run(client, args, output)
            return code
    except (HeadstartError, Misused, OSError) as error:
        failure = explain(error)
        output.failure(failure)
        return failure.exit
    except KeyboardInterrupt:
        output.remark("Stopped.")
        return Exit.STOPPED


def _client(url: str | None) -> Client:
    try:
        return Client(url)
    except ValueError as error:
        raise Misused(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
