"""The project's commands as documents write them, and what their own parsers make of them."""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import MagicMock

import pytest

from headstart.__main__ import main as headstart
from headstart_frigate.__main__ import main as headstart_frigate
from headstart_label_studio.__main__ import main as headstart_label_studio
from server.commands.audit import audit_command
from server.commands.keys import keys_command
from server.commands.migrate import migrate_command
from server.commands.quotas import quotas_command
from server.settings import load_settings
from training.__main__ import main as headstart_train

_MAINS: dict[str, Callable[[list[str]], object]] = {
    "headstart": headstart,
    "headstart-frigate": headstart_frigate,
    "headstart-label-studio": headstart_label_studio,
    "headstart-server": load_settings,
    "headstart-server keys": keys_command,
    "headstart-server audit": audit_command,
    "headstart-server quotas": quotas_command,
    "headstart-server migrate": migrate_command,
    "headstart-train": headstart_train,
}
_MODULES = {"headstart": "headstart", "server": "headstart-server", "training": "headstart-train"}
# Benchmarks measure ours beside them, and nobody need install them.
_RIVALS = ("cleanlab", "cleanlab.filter", "cv2", "easyfsl", "easyfsl.methods", "higher", "pyvips")


class _Reached(Exception):
    """Parsing has begun, or has ended well; the command would run now."""


def ours(words: list[str]) -> tuple[str, list[str]] | None:
    """The command's name, such as `headstart-train` or `benchmarks.head`, and its arguments; None where it is not ours."""
    while words[0] in {"time", "nice"}:
        words = words[1:]
    name, arguments = Path(words[0]).name, words[1:]
    if name.startswith("python") and arguments[:1] == ["-m"] and len(arguments) > 1:
        name, arguments = _MODULES.get(arguments[1], arguments[1]), arguments[2:]
    if arguments and f"{name} {arguments[0]}" in _MAINS:
        name, arguments = f"{name} {arguments[0]}", arguments[1:]
    return (name, arguments) if name in _MAINS or name.startswith("benchmarks.") else None


@cache
def parser_of(name: str) -> argparse.ArgumentParser:
    """Raises: ModuleNotFoundError: there is no such benchmark."""
    found: list[argparse.ArgumentParser] = []

    def capture(parser: argparse.ArgumentParser, *_arguments: Any) -> NoReturn:
        found.append(parser)
        raise _Reached

    with _parsing(capture):
        _run(name, [])
    return found[0]


def parse(name: str, arguments: list[str]) -> None:
    """Has the command parse its arguments and stops it there; the server's settings are also looked at.

    Raises:
        SystemExit: the parser refuses them.
        InvalidSettings: the server does.
    """
    if name == "headstart-server":
        load_settings(arguments)
        return
    original = argparse.ArgumentParser.parse_args

    def and_stop(parser: argparse.ArgumentParser, *given: Any) -> NoReturn:
        original(parser, *given)
        raise _Reached

    with _parsing(and_stop):
        _run(name, arguments)


def unknown_words(parser: argparse.ArgumentParser, arguments: list[str]) -> Iterator[str]:
    """The flags and the sub-commands that the parser does not have."""
    for position, word in enumerate(arguments):
        actions = subcommands(parser)
        if word.startswith("--"):
            if word.partition("=")[0] not in flags(parser):
                yield word
        elif word in actions:
            parser = actions[word]
        elif actions and not position and word.isascii() and not word.isupper():
            yield word


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def all_flags(parser: argparse.ArgumentParser) -> set[str]:
    """Those of its sub-commands, too."""
    return flags(parser).union(*map(all_flags, subcommands(parser).values()))


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: action for group in groups for name, action in group.items()}


def _run(name: str, arguments: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        try:
            if name in _MAINS:
                _MAINS[name](arguments)
            else:
                _benchmark(name).main()
        except _Reached:
            pass


def _benchmark(name: str) -> Any:
    lacking = {rival: MagicMock() for rival in _RIVALS if find_spec(rival.partition(".")[0]) is None}
    with pytest.MonkeyPatch.context() as patch:
        for rival, stand_in in lacking.items():
            patch.setitem(sys.modules, rival, stand_in)
        module = importlib.import_module(name)
        if not hasattr(module, "main"):
            module = importlib.import_module(f"{name}.__main__")
    if any(each in lacking.values() for each in vars(module).values()):
        del sys.modules[name]  # for whoever imports it with the rival
    return module


@contextmanager
def _parsing(parse_args: Callable[..., NoReturn]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        yield
