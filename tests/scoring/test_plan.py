"""The list of a run: nothing is lost or twice, whatever names there are and wherever a run was stopped."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import plan
from scoring.plan import PART, Busy, Entry, OtherSettings, opened

NAMES = st.lists(st.text(max_size=8), max_size=12)


@dataclass
class Listed:
    """A source with these names, which may fail while it is listed."""

    held: list[str]
    described: str = "listed"
    fails_at: int | None = None
    listed: int = field(default=0, init=False)

    def names(self) -> Iterator[str]:
        self.listed += 1
        for at, name in enumerate(self.held):
            if at == self.fails_at:
                raise PermissionError("a folder cannot be read")
            yield name

    def read(self, name: str, limit: int) -> bytes:
        raise NotImplementedError

    def path(self, name: str) -> str:
        return name


def entries_of(folder: Path, sources: list[Listed]) -> list[list[Entry]]:
    with opened(folder, {"a": 1}, sources) as found:
        assert found
        parts = list(found.parts())
        assert {number: len(entries) for number, entries in parts} == found.sizes
        return [entries for _, entries in parts]


@given(held=st.lists(NAMES, max_size=3), part=st.integers(1, 5))
@settings(deadline=None)
def test_every_image_is_in_one_part_and_the_parts_stay(held: list[list[str]], part: int) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PART", part)
        sources = [Listed(names) for names in held]
        first = entries_of(Path(folder), sources)
        assert [entry for entries in first for entry in entries] == [
            (position, name) for position, names in enumerate(held) for name in names
        ]
        assert all(len(entries) == part for entries in first[:-1])
        for source in sources:
            source.held = ["changed", *source.held[::-1]]
        assert entries_of(Path(folder), sources) == first
        assert all(source.listed == 1 for source in sources)


@given(surrogate=st.integers(0xDC80, 0xDCFF))
@settings(deadline=None)
def test_names_that_are_no_text_come_back(surrogate: int) -> None:
    with TemporaryDirectory() as folder:
        name = f"a{chr(surrogate)}\n.jpg"
        assert entries_of(Path(folder), [Listed([name])]) == [[(0, name)]]


def test_a_list_that_broke_off_is_made_again(tmp_path: Path) -> None:
    source = Listed(["a", "b"], fails_at=1)
    with pytest.raises(PermissionError), opened(tmp_path, {"a": 1}, [source]):
        pass
    source.fails_at = None
    assert entries_of(tmp_path, [source]) == [[(0, "a"), (0, "b")]]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    entries_of(tmp_path, [Listed(["a"])])
    with pytest.raises(OtherSettings, match=r"begun with a 1, and now 2"), opened(tmp_path, {"a": 2}, []):
        pass
    with pytest.raises(OtherSettings, match="b None, and now x"), opened(tmp_path, {"a": 1, "b": ["x"]}, []):
        pass


def test_one_process_at_a_time_has_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path, {"a": 1}, [Listed(["a"])]), pytest.raises(Busy), opened(tmp_path, {"a": 1}, []):
        pass
    assert entries_of(tmp_path, [Listed([])]) == [[(0, "a")]]


def test_the_last_part_may_be_smaller(tmp_path: Path) -> None:
    with opened(tmp_path, {}, [Listed(["a"] * (2 * PART + 1))]) as found:
        assert found
        assert found.sizes == {0: PART, 1: PART, 2: 1}
    assert json.loads((tmp_path / "plan.json").read_text())["images"] == 2 * PART + 1
