"""Registries without a list: a file of a package ends with its entry, and `entries` finds them all."""

import importlib
import pkgutil
from types import ModuleType
from typing import Protocol, TypeVar


class Named(Protocol):
    """An entry of a registry."""

    @property
    def name(self) -> str:
        """The word by which it is asked for."""


Entry = TypeVar("Entry", bound=Named)


def entries(package: ModuleType, kind: type[Entry]) -> dict[str, Entry]:
    """Returns the entries of a kind by name, in the order of their files.

    Raises:
        ValueError: two different entries have one name.
    """
    found: dict[str, Entry] = {}
    for file in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(file.name)).values():
            if isinstance(value, kind) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"{file.name}: there is another {value.name}")
    return found
