"""Registries: each file of a package ends with its entry, and the entries are found by walking the package."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import TypeVar

Entry = TypeVar("Entry")


def entries(package: str, kind: type[Entry]) -> Iterator[Entry]:
    """Yields every module-level value of that type in the modules of a package, in the order of the modules' names."""
    for module in pkgutil.iter_modules(import_module(package).__path__):
        for value in vars(import_module(f"{package}.{module.name}")).values():
            if isinstance(value, kind):
                yield value
