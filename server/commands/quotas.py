"""`headstart-server quotas`: sets, lists and removes quotas of tenants and keys, also beside a running server."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields

from server.commands.beside import SOON, add_command, print_table, run_beside, tenant_name
from server.errors import InvalidRequest
from server.keys import id_of
from server.store.quota_records import EVERY_TENANT, STORED, Quota
from server.store.quotas import QuotaStore

_MOST = 10**15 - 1  # The fields of replies have no larger integers (RFC 9651).
_NO_LIMIT = "none"
# Of each quota its flag, and what it limits.
_FLAGS = {
    "requests": ("--requests-per-minute", "requests a minute"),
    "images": ("--images-per-minute", "images a minute, be they to recognise or to learn from"),
    "tasks": ("--tasks", "stored tasks"),
    "examples": ("--examples", "stored examples, also those that only earlier versions have"),
    "bytes": ("--bytes", "bytes of stored images, of examples and captures"),
    "captures": ("--captures", "captures that wait for a decision; further ones are dropped"),
}


def quotas_command(arguments: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        The exit status: 0 if it was done, 1 if not, 2 for wrong arguments.
    """
    asked = _parser().parse_args(arguments)
    return run_beside(asked, lambda database: asked.run(QuotaStore(database), asked))


def _set(store: QuotaStore, asked: argparse.Namespace) -> None:
    given = {name: value for name in _FLAGS if (value := getattr(asked, name)) is not None}
    limits = {name: None if value == _NO_LIMIT else value for name, value in given.items()}
    if not limits:
        raise InvalidRequest("nothing to set; give at least one quota, such as --images-per-minute 600")
    if asked.key and (wrong := limits.keys() & set(STORED)):
        raise InvalidRequest(f"what is stored belongs to the tenant, not to a key: {', '.join(sorted(wrong))}")
    changed = store.change(*_owner(asked), limits)
    if asked.tenant and not store.knows(asked.tenant):
        print(f"headstart-server: tenant {asked.tenant} has no key and no task yet: is that its name?", file=sys.stderr)
    said = ", ".join(f"{name} {limit}" for name in _FLAGS if (limit := getattr(changed, name)) is not None)
    print(f"{_called(*_owner(asked))}: {said or 'no quota'}; {SOON}", file=sys.stderr)


def _list(store: QuotaStore, _asked: argparse.Namespace) -> None:
    names = [field.name for field in fields(Quota)]
    rows: list[list[str]] = [["TENANT", "KEY", "REQUESTS/MIN", "IMAGES/MIN", *(name.upper() for name in STORED)]]
    for (tenant, key), quota in store.all().items():
        used = store.stored(tenant)[1] if tenant != EVERY_TENANT and not key else None
        cells = [_cell(getattr(quota, name), getattr(used, name, None)) for name in names]
        rows.append([tenant, key or "-", *cells])
    print_table(rows)


def _remove(store: QuotaStore, asked: argparse.Namespace) -> None:
    store.change(*_owner(asked), dict.fromkeys(_FLAGS))
    print(f"{_called(*_owner(asked))}: no quota; {SOON}", file=sys.stderr)


def _cell(limit: int | None, used: int | None) -> str:
    shown = "-" if limit is None else str(limit)
    return shown if used is None else f"{used} of {shown}"


def _owner(asked: argparse.Namespace) -> tuple[str, str]:
    if asked.every_tenant and asked.key:
        raise InvalidRequest("a key is of one tenant; name it with --tenant")
    return EVERY_TENANT if asked.every_tenant else asked.tenant, asked.key


def _called(tenant: str, key: str) -> str:
    if tenant == EVERY_TENANT:
        return "every tenant, where its own quotas say nothing"
    return f"key {key} of tenant {tenant}" if key else f"tenant {tenant}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headstart-server quotas",
        description="Sets, lists and removes quotas of tenants and keys, also while a server runs on the same data directory.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    setting = add_command(commands, "set", _set, "set quotas; those that are not named stay as they are")
    for name, (flag, text) in _FLAGS.items():
        least = 0 if name in STORED else 1
        setting.add_argument(flag, dest=name, type=_number(least), metavar="N", help=f"{text}; {_NO_LIMIT} lifts it")
    add_command(commands, "list", _list, "show every quota, and what its tenant has stored")
    removing = add_command(commands, "remove", _remove, "remove all quotas of a tenant or a key")
    for command in (setting, removing):
        whose = command.add_mutually_exclusive_group(required=True)
        whose.add_argument("--tenant", type=tenant_name, help="whose they are; its keys share them")
        whose.add_argument("--every-tenant", action="store_true", help="those of each tenant, where its own say nothing")
        command.add_argument(
            "--key",
            default="",
            metavar="ID",
            type=lambda text: id_of(text) or text,
            help="those of one of its keys, which hold beside the tenant's",
        )
    return parser


def _number(least: int) -> Callable[[str], int | str]:
    """Returns the type of an argument that is a number from `least` on, or that there is no limit."""

    def read(text: str) -> int | str:
        if text == _NO_LIMIT:
            return text
        if not (text.isascii() and text.isdigit() and least <= int(text) <= _MOST):
            raise argparse.ArgumentTypeError(f"{text} is no whole number from {least} on, and not {_NO_LIMIT}")
        return int(text)

    return read
