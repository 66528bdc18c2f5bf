"""`headstart-server audit`: prints who did what, also beside a running server."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from json import dumps

from server.commands.beside import add_database, duration
from server.errors import HeadstartError
from server.store.audit import AuditFilter, line_of, rows_of
from server.store.database import StoreError
from server.store.opening import read_beside, sqlite_url


def audit_command(arguments: Sequence[str]) -> int:
    """Runs the command. It prints a line of JSON for each row, in the order in which they were stored.

    Returns:
        The exit status: 0 if it was done, 1 if not, 2 for wrong arguments.
    """
    asked = _parser().parse_args(arguments)
    wanted = AuditFilter(asked.since, asked.tenant, asked.key, asked.action)
    try:
        with closing(read_beside(asked.database_url or sqlite_url(asked.data_dir))) as database:
            for number, row in rows_of(database, wanted):
                print(dumps(line_of(number, row), ensure_ascii=False))
            sys.stdout.flush()
    except (StoreError, HeadstartError) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `head` has enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headstart-server audit",
        description="Prints who did what as lines of JSON, also while a server runs on the same data directory.",
    )
    parser.add_argument(
        "--since",
        type=_time,
        metavar="TIME",
        help="no earlier than 1d, 2h or 30m ago, 2026-11-01 or 2026-11-01T09:30+01:00; else UTC",
    )
    parser.add_argument("--tenant", help="of this tenant's callers only")
    parser.add_argument("--key", metavar="ID", help="by this key only")
    parser.add_argument("--action", metavar="PATTERN", help="such as task.delete or 'key.*'")
    add_database(parser)
    return parser


def _time(text: str) -> datetime:
    if (ago := duration(text)) is not None:
        return datetime.now(UTC) - ago
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no time such as 1d, 2h, 30m, 2026-11-01 or 2026-11-01T09:30+01:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
