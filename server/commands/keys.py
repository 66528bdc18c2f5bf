"""`headstart-server keys`: makes, lists, rotates and revokes API keys, also beside a running server."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from server.commands.beside import SOON, add_command, duration, print_table, run_beside, tenant_name
from server.keys import MOST_DAYS, SCOPES, id_of
from server.store.key_records import StoredKey, new_key
from server.store.keys import KeyStore


def keys_command(arguments: Sequence[str]) -> int:
    """Runs the command. A new key is all that it prints on standard output, where it makes one.

    Returns:
        The exit status: 0 if it was done, 1 if not, 2 for wrong arguments.
    """
    asked = _parser().parse_args(arguments)
    return run_beside(asked, lambda database: asked.run(KeyStore(database), asked), creates=asked.run is _create)


def _create(store: KeyStore, asked: argparse.Namespace) -> None:
    record, key = new_key(asked.tenant, asked.scope, asked.task, asked.expires)
    store.add(record)
    print(key)
    print(f"key {record.id} is shown this once; {SOON}", file=sys.stderr)


def _list(store: KeyStore, asked: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = [("ID", "TENANT", "SCOPE", "TASK", "CREATED", "EXPIRES", "LAST USED", "STATE")]
    rows += [_row(key, now) for key in store.page(asked.tenant)]
    print_table(rows)


def _rotate(store: KeyStore, asked: argparse.Namespace) -> None:
    record, key = store.rotate(asked.tenant, asked.key, asked.expires)
    print(key)
    print(f"key {record.id} takes the place of {asked.key}; {SOON}", file=sys.stderr)


def _revoke(store: KeyStore, asked: argparse.Namespace) -> None:
    store.revoke(asked.tenant, asked.key)
    print(f"key {asked.key} is revoked; {SOON}", file=sys.stderr)


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

    create = add_command(commands, "create", _create, "make a key and print it, once")
    create.add_argument(
        "--tenant", required=True, type=tenant_name, help="whose tasks it is for; those of before are of `default`"
    )
    create.add_argument("--scope", required=True, choices=SCOPES, help="each includes those before it")
    create.add_argument("--task", metavar="ID", help="the only task that it is for")
    create.add_argument("--expires", type=_duration, metavar="TIME", help="it ends after so long, such as 90d, 12h or 30m")

    listing = add_command(commands, "list", _list, "show every key, without its secret")
    listing.add_argument("--tenant", type=tenant_name, help="of this tenant only")

    rotate = add_command(commands, "rotate", _rotate, "print a new key that allows the same, and let the old one end")
    rotate.add_argument("--expires", type=_duration, default="24h", metavar="TIME", help="the old one ends after (default: 24h)")
    revoke = add_command(commands, "revoke", _revoke, "end a key")
    for command in (rotate, revoke):
        command.add_argument(
            "key", metavar="ID", type=lambda text: id_of(text) or text, help="the id of the key, its part after hs_"
        )
        command.add_argument("--tenant", type=tenant_name, help="the tenant that it must be of")
    return parser


def _duration(text: str) -> timedelta:
    lasting = duration(text) or timedelta()
    if not timedelta() < lasting <= timedelta(days=MOST_DAYS):
        raise argparse.ArgumentTypeError(f"{text} is no time such as 90d, 12h or 30m, of at most {MOST_DAYS} days")
    return lasting
