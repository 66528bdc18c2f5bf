"""Registries of entries."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from training.entries import entries


@dataclass(frozen=True)
class Way:
    name: str


def package_of(folder: Path, name: str, files: dict[str, str]) -> str:
    package = folder / name
    package.mkdir()
    for file, text in {"__init__": "", **files}.items():
        (package / f"{file}.py").write_text(text)
    return name


def test_each_entry_is_found_by_its_name_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = f"from {Way.__module__} import Way\nWAY = Way({{!r}})\n"
    again = "from of_two.b import WAY\n"
    package = package_of(tmp_path, "of_two", {"b": text.format("one"), "a": text.format("two"), "c": again})
    assert entries(package, Way) == {"two": Way("two"), "one": Way("one")}
    twins = package_of(tmp_path, "of_twins", {"a": text.format("one"), "b": text.format("one")})
    with pytest.raises(ValueError, match=r"'one', one of them in b\.py"):
        entries(twins, Way)
