"""`headstart mcp`: the server's tools for an agent on this machine."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from headstart.cli.failures import Exit, Misused
from headstart.cli.kept_keys import key_for
from headstart.cli.output import Output
from headstart.client import Client

_MISSING = "this needs the package mcp: pip install './clients/python[mcp]'"


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds this command; `command` adds one."""
    command(
        "mcp",
        mcp,
        "serve tools to an agent over stdin and stdout (Model Context Protocol); an agent starts this by itself",
        "headstart mcp --url https://headstart.example.org",
    )


def mcp(client: Client, args: Namespace, output: Output) -> Exit:  # noqa: ARG001 - stdout is the agent's
    """`headstart mcp`"""
    try:
        from headstart.mcp.stdio import serve
    except ModuleNotFoundError as error:
        raise Misused(f"{_MISSING} ({error.name} is missing)") from error
    serve(client.url, key_for(client.url, args.token))
    return Exit.DONE
