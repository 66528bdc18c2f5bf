"""The common parts of commands that change a few rows of the database, also beside a running server."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from server.audit import Act, acting
from server.cache.keys import LOOK_SECONDS
from server.errors import HeadstartError
from server.keys import TENANT
from server.settings import ENVIRONMENT_PREFIX, Settings
from server.store.database import Database, StoreError
from server.store.opening import open_beside, sqlite_url
from server.store.sqlite_beside import SharedDatabase
from server.store.sqlite_database import SqliteDatabase

SOON = f"a running server notices within {2 * LOOK_SECONDS:g} seconds"


_DURATION = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def run_beside(asked: argparse.Namespace, run: Callable[[Database | SharedDatabase], None], *, creates: bool = False) -> int:
    """Runs a command on the database that its arguments name. Returns the exit status: 0 if it was done, 1 if not.

    Args:
        creates: whether it makes a database where there is none.
    """
    os.umask(0o077)
    url = asked.database_url or sqlite_url(asked.data_dir)
    try:
        with closing(open_beside(url, creates=creates)) as database:
            acting.set(Act(None, None, None, "change", ()))
            run(database)
            if isinstance(database, SqliteDatabase):
                print("no server has this database open now", file=sys.stderr)
    except (StoreError, HeadstartError) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1
    return 0


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: object, text: str
) -> argparse.ArgumentParser:
    """Adds a command that `run` carries out, with the arguments that name the database."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(run=run)
    add_database(parser)
    return parser


def add_database(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name the server's database."""
    parser.add_argument("--data-dir", type=Path, default=default_folder(), help="as of the server")
    url = os.environ.get(f"{ENVIRONMENT_PREFIX}DATABASE_URL")
    parser.add_argument("--database-url", default=url, help="as of the server")


def default_folder() -> Path:
    """Returns the data directory of a server that has this environment."""
    return Path(os.environ.get(f"{ENVIRONMENT_PREFIX}DATA_DIR") or Settings.model_fields["data_dir"].default)


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows of texts, equally many in each, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def duration(text: str) -> timedelta | None:
    """Returns how long `90d`, `12h` or `30m` is; None for a text of another form."""
    parts = _DURATION.fullmatch(text)
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])}) if parts else None


def tenant_name(text: str) -> str:
    """Returns the name of a tenant, as an argument's type."""
    if not TENANT.fullmatch(text):
        raise argparse.ArgumentTypeError("a tenant has up to 63 of the characters a-z 0-9 _ -, a letter or a digit first")
    return text
