"""Registries: each file of a package ends with its entry, and the entries are found by walking the package."""

import pkgutil
from importlib import import_module
from typing import Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=_Named)


def entries(package: str, kind: type[Entry]) -> dict[str, Entry]:
    """Returns every module-level value of that type in the modules of a package, by its name, in the order of the modules' names.

    Raises:
        ValueError: two have the same name.
    """
    found: dict[str, Entry] = {}
    for module in pkgutil.iter_modules(import_module(package).__path__):
        for value in vars(import_module(f"{package}.{module.name}")).values():
            if isinstance(value, kind) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"{package}: two entries have the name {value.name!r}, one of them in {module.name}.py")
    return found
