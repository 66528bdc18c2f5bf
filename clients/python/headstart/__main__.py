"""One run of the `headstart` command, from its arguments to its exit code; `python -m headstart` is the same."""

import os
import sys
from collections.abc import Sequence

from headstart.cli.arguments import parse_arguments
from headstart.cli.failures import Exit, Misused, explain
from headstart.cli.kept_keys import key_for
from headstart.cli.output import Output, open_streams
from headstart.client import Client, server_url
from headstart.errors import HeadstartError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    open_streams()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return Exit.STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python still flushes it as it ends.
        return Exit.CLOSED


def _run(arguments: Sequence[str] | None) -> int:
    args = parse_arguments(arguments)
    output = Output(as_json=args.json)
    try:
        with _client(args.url, args.token, output) as client:
            code: Exit = args.run(client, args, output)
            return code
    except BrokenPipeError:
        raise
    except (HeadstartError, Misused, OSError) as error:
        failure = explain(error)
        output.failure(failure)
        return failure.exit


def _client(url: str | None, token: str | None, output: Output) -> Client:
    def waiting(seconds: float) -> None:
        output.remark(f"headstart: a quota is used up; waiting {seconds:.0f} s before another try")

    try:
        return Client(url, token=key_for(server_url(url), token), waiting=waiting)
    except ValueError as error:
        raise Misused(str(error)) from error
    except ImportError as error:
        raise Misused("the environment names a SOCKS proxy, which needs one package more: pip install 'httpx[socks]'") from error


if __name__ == "__main__":
    sys.exit(main())
