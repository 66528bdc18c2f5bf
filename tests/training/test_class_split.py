"""Splits: every class in one part, whoever asks, wherever and in whatever order."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.server_process import ROOT
from training.data.class_split import Split, read_split, split_classes, write_split
from training.data.dataset import DataError

NAMES = st.sets(st.text(min_size=1, max_size=8), min_size=15, max_size=60)
SEEDS = st.integers(0, 2**63)


def parts(split: Split) -> list[tuple[str, ...]]:
    return [split.train, split.validation, split.test]


@given(NAMES, SEEDS)
def test_every_class_is_in_exactly_one_part_of_five_or_more(names: set[str], seed: int) -> None:
    split = split_classes(names, seed, "toys")
    assert sorted(name for part in parts(split) for name in part) == sorted(names)
    assert min(map(len, parts(split))) >= 5


@given(st.lists(st.text(min_size=1, max_size=8), min_size=15, max_size=40, unique=True), SEEDS, st.randoms())
def test_the_order_of_the_names_does_not_matter(names: list[str], seed: int, random: Random) -> None:
    shuffled = random.sample(names, len(names))
    assert split_classes([*shuffled, names[0]], seed, "toys") == split_classes(names, seed, "toys")


SIZES = [(15, (5, 5, 5)), (20, (10, 5, 5)), (27, (17, 5, 5)), (28, (17, 5, 6)), (100, (64, 16, 20)), (1000, (640, 160, 200))]


@pytest.mark.parametrize(("count", "sizes"), SIZES)
def test_the_sizes_of_the_parts(count: int, sizes: tuple[int, int, int]) -> None:
    assert tuple(map(len, parts(split_classes([f"c{number}" for number in range(count)], 1, "toys")))) == sizes


def test_too_few_classes_are_refused_with_the_number_needed() -> None:
    with pytest.raises(DataError, match=r"^14 classes cannot be split by a seed: 15 are needed, .* split file$"):
        split_classes([f"c{number}" for number in range(14)], 1, "toys")


def test_a_split_is_the_same_in_every_process_and_release() -> None:
    """Written down, since neither Python's hash nor a library's generator may have a say in it."""
    names = [f"class {number}" for number in range(15)]
    split = split_classes(names, 1, "toys")
    assert split.validation == ("class 0", "class 11", "class 2", "class 4", "class 9")
    program = f"from training.data.class_split import split_classes; print(split_classes({names[::-1]}, 1, 'toys'))"
    for hash_seed in ("0", "1"):
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == repr(split)


def test_another_seed_is_another_split() -> None:
    names = [f"c{number}" for number in range(100)]
    assert len({split_classes(names, seed, "toys").test for seed in range(50)}) == 50


def test_classes_fall_into_each_part_equally_often() -> None:
    names = [f"c{number}" for number in range(100)]
    chosen = [split_classes(names, seed, "toys").test for seed in range(500)]
    counts = [sum(name in test for test in chosen) for name in names]
    assert 60 < min(counts) < max(counts) < 140  # 100 expected, 9 the standard deviation


def test_a_split_that_was_written_is_read_back(tmp_path: Path) -> None:
    split = split_classes(["Möwe", *(f"c{number}" for number in range(20))], 1, "toys")
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json") == split
    with pytest.raises(DataError, match="cannot write"):
        write_split(split, tmp_path / "missing" / "split.json")


SPLIT = {"dataset": "toys", "train": ["a", "b"], "validation": ["c"], "test": ["d"]}


def test_a_split_names_the_classes_of_each_part(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text(json.dumps(SPLIT))
    split = read_split(file)
    assert split.dataset == "toys"
    assert [split.classes(part) for part in ("train", "validation", "test")] == [("a", "b"), ("c",), ("d",)]


@pytest.mark.parametrize(("name", "sizes"), [("cifar-fs", (64, 16, 20)), ("fc100", (60, 20, 20))])
def test_shipped_splits_have_the_published_sizes(name: str, sizes: tuple[int, int, int]) -> None:
    split = read_split(name)
    assert tuple(len(split.classes(part)) for part in ("train", "validation", "test")) == sizes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read split file"),
        ("{", "cannot read split file"),
        ("[]", "cannot read split file"),
        (json.dumps({key: SPLIT[key] for key in ("dataset", "train", "test")}), "'validation'"),
        (json.dumps(SPLIT | {"test": ["d", "b"]}), "more than one place: b"),
        (json.dumps(SPLIT | {"train": ["a", "a"]}), "more than one place: a"),
    ],
)
def test_a_split_that_cannot_be_used_is_named(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "my-split.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_split(file)
    assert "my-split.json" in str(caught.value)
