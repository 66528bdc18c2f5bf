"""`headstart-server keys`: makes, lists, rotates and revokes API keys, also beside a running server."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.audit import Act, acting
from server.cache.keys import LOOK_SECONDS
from server.errors import HeadstartError
from server.keys import MOST_DAYS, SCOPES, TENANT, id_of
from server.settings import ENVIRONMENT_PREFIX, Settings
from server.store.database import StoreError
from server.store.key_records import StoredKey, new_key
from server.store.keys import KeyStore
from server.store.shared_database import SharedDatabase, open_beside
from server.store.store import sqlite_url

_DURATION = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SOON = f"a running server notices within {2 * LOOK_SECONDS:g} seconds"


def keys_command(arguments: Sequence[str]) -> int:
    """Runs the command. A new key is all that it prints on standard output, where it makes one.

    Returns:
        The exit status: 0 if it was done, 1 if not, 2 for wrong arguments.
    """
    asked = _parser().parse_args(arguments)
    os.umask(0o077)
    url = asked.database_url or sqlite_url(asked.data_dir)
    try:
        with closing(open_beside(url)) as database:
            acting.set(Act(None, None, None, "change", ()))
            asked.run(KeyStore(database), asked)
            if not isinstance(database, SharedDatabase):
                print("no server has this database open now", file=sys.stderr)
    except (StoreError, HeadstartError) as error:
        print(f"headstart-server: {error}", file=sys.stderr)
        return 1
    return 0


def _create(store: KeyStore, asked: argparse.Namespace) -> None:
    record, key = new_key(asked.tenant, asked.scope, asked.task, asked.expires)
    store.add(record)
    print(key)
    print(f"key {record.id} is shown this once; {_SOON}", file=sys.stderr)


def _list(store: KeyStore, asked: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = [("ID", "TENANT", "SCOPE", "TASK", "CREATED", "EXPIRES", "LAST USED", "STATE")]
    rows += [_row(key, now) for key in store.page(asked.tenant)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rotate(store: KeyStore, asked: argparse.Namespace) -> None:
    record, key = store.rotate(asked.tenant, asked.key, asked.expires)
    print(key)
    print(f"key {record.id} takes the place of {asked.key}; {_SOON}", file=sys.stderr)


def _revoke(store: KeyStore, asked: argparse.Namespace) -> None:
    store.revoke(asked.tenant, asked.key)
    print(f"key {asked.key} is revoked; {_SOON}", file=sys.stderr)


def _row(key: StoredKey, now: datetime) -> tuple[str, ...]:
    state = "revoked" if key.revoked_at else "valid" if key.is_valid(now) else "expired"
    times = map(_shown, (key.created_at, key.expires_at, key.last_used_at))
    return (key.id, key.tenant, key.scope, key.task or "-", *times, state)


def _shown(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}Z" if time else "-"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headstart-server keys",
        description="Makes, lists, rotates and revokes API keys, also while a server runs on the same data directory. "
        "Once there was a key, the server answers nobody without one.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    create = _command(commands, "create", _create, "make a key and print it, once")
    create.add_argument("--tenant", required=True, type=_tenant, help="whose tasks it is for; those of before are of `default`")
    create.add_argument("--scope", required=True, choices=SCOPES, help="each includes those before it")
    create.add_argument("--task", metavar="ID", help="the only task that it is for")
    create.add_argument("--expires", type=_duration, metavar="TIME", help="it ends after so long, such as 90d, 12h or 30m")

    listing = _command(commands, "list", _list, "show every key, without its secret")
    listing.add_argument("--tenant", type=_tenant, help="of this tenant only")

    rotate = _command(commands, "rotate", _rotate, "print a new key that allows the same, and let the old one end")
    rotate.add_argument("--expires", type=_duration, default="24h", metavar="TIME", help="the old one ends after (default: 24h)")
    revoke = _command(commands, "revoke", _revoke, "end a key")
    for command in (rotate, revoke):
        command.add_argument(
            "key", metavar="ID", type=lambda text: id_of(text) or text, help="the id of the key, its part after hs_"
        )
        command.add_argument("--tenant", type=_tenant, help="the tenant that it must be of")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: object, text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(run=run)
    folder = os.environ.get(f"{ENVIRONMENT_PREFIX}DATA_DIR") or Settings.model_fields["data_dir"].default
    parser.add_argument("--data-dir", type=Path, default=Path(folder), help="as of the server")
    url = os.environ.get(f"{ENVIRONMENT_PREFIX}DATABASE_URL")
    parser.add_argument("--database-url", default=url, help="as of the server")
    return parser


def _tenant(text: str) -> str:
    if not TENANT.fullmatch(text):
        raise argparse.ArgumentTypeError("a tenant has up to 63 of the characters a-z 0-9 _ -, a letter or a digit first")
    return text


def _duration(text: str) -> timedelta:
    parts = _DURATION.fullmatch(text)
    lasting = timedelta(**{_UNITS[parts[2]]: int(parts[1])}) if parts else timedelta()
    if not timedelta() < lasting <= timedelta(days=MOST_DAYS):
        raise argparse.ArgumentTypeError(f"{text} is no time such as 90d, 12h or 30m, of at most {MOST_DAYS} days")
    return lasting
