"""`headstart login` and `headstart logout`: the key of a server is kept, or kept no more."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from getpass import getpass

from headstart.cli.failures import Exit, Misused
from headstart.cli.kept_keys import drop_key, keep_key
from headstart.cli.output import Output
from headstart.cli.tables.text import printable, when
from headstart.client import Client
from headstart.replies.keys import Key


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    command(
        "login",
        login,
        "ask for the server's key, try it, and keep it for this server: in the system's keyring, or where you alone can read it",
        "headstart login --url https://headstart.example.org",
    )
    command("logout", logout, "keep the server's key no more", "headstart logout --url https://headstart.example.org")


def login(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart login`: the key is typed, or comes on stdin."""
    given = args.token or (getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline())
    try:
        trying = Client(client.url, token=given)
    except ValueError as error:
        raise Misused(str(error)) from error
    with trying:
        key = trying.key()
    output.answer(key.raw, lambda: _told(key))
    if not key.required:
        output.remark("This server has no keys: none is kept.")
        return Exit.DONE
    place = "the system's keyring" if keep_key(client.url, given.strip()) else "a file that you alone can read"
    output.remark(f"This key is sent to this server from now on. It is kept in {place}.")
    return Exit.DONE


def logout(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 -- as all commands are called
    """`headstart logout`"""
    drop_key(client.url)
    output.remark("No key is kept for this server.")
    return Exit.DONE


def _told(key: Key) -> str:
    ends = f", until {when(key.expires_at)}" if key.expires_at else ""
    return (
        f"tenant {printable(key.tenant)}, scope {printable(key.scope)}{f', task {printable(key.task)}' if key.task else ''}{ends}"
    )
