"""`headstart-train evaluate` on one's own folder, without a split file: which classes count, and for what they are enough."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.bundle import open_bundle, replace_manifest
from models.manifest import Imported
from tests.helpers.bundles import small_bundle
from tests.helpers.images import encode, noise
from training.__main__ import main
from training.data.class_split import read_split

Evaluate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(shipped_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Runs `evaluate` on a folder of classes with so many images; a bundle trained on CIFAR-FS, or made elsewhere."""
    small_bundle(shipped_bundle, tmp_path / "bundles", "small")
    bundle = tmp_path / "bundles" / "small" / "1"

    def run(counts: dict[str, int], *flags: str, imported: bool = False) -> tuple[int, str, str]:
        for k, (name, count) in enumerate(counts.items()):
            (tmp_path / "mine" / name).mkdir(parents=True)
            for i in range(count):
                pixels = noise(32, 32, seed=100 * k + i) // 4 + 20 * (k % 9)
                (tmp_path / "mine" / name / f"{i}.png").write_bytes(encode(pixels))
        if imported:
            made = Imported(source="net.onnx", weights="net.onnx", sha256=None, images=3)
            replace_manifest(bundle, open_bundle(bundle).manifest.model_copy(update={"training": made}))
        capsys.readouterr()
        status = main(["evaluate", str(bundle), "--data", str(tmp_path / "mine"), "--episodes", "20", *flags])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def rows(document: str) -> list[tuple[int, int, int]]:
    results: list[dict[str, Any]] = json.loads(document)["results"]
    return [(row["ways"], row["shots"], row["queries"]) for row in results]


def test_all_classes_are_new_to_a_network_made_elsewhere(evaluate: Evaluate) -> None:
    status, out, err = evaluate({"bus": 8, "apple": 8, "cup": 8}, imported=True)
    assert status == 0
    assert "net.onnx was trained elsewhere on unknown classes, so all 3 count as new" in err
    assert "3 classes, seed 1" in out


def test_classes_that_the_backbone_was_trained_on_are_left_out(evaluate: Evaluate) -> None:
    """`apple` and `bus` are base classes of CIFAR-FS, whatever their case; `mug` is none of CIFAR-100's."""
    status, out, err = evaluate({"Apple": 8, "apple_pie": 8, "mug": 8, "bus": 8}, "--json")
    assert status == 0
    assert "left out, since the backbone was trained on them: Apple, bus\n" in err
    assert rows(out) == [(2, 1, 7), (2, 5, 3)]
    assert json.loads(out)["embedding"]["images"] == 16


def test_images_of_the_dataset_that_it_was_trained_on_are_measured_by_its_test_classes(
    evaluate: Evaluate,
) -> None:
    """`baby`, `bed` and `bicycle` are novel in CIFAR-FS, `crab` a validation class."""
    status, out, err = evaluate({"apple": 8, "baby": 8, "bed": 8, "bicycle": 8, "crab": 8})
    assert status == 0
    assert "the test classes of CIFAR-FS, the backbone's own split" in err
    assert "3 test classes of CIFAR-FS, seed 1" in out


def test_numbers_are_a_datasets_classes_where_they_are_all_of_them(evaluate: Evaluate, tmp_path: Path) -> None:
    """The traffic signs are numbered; a backbone that learned some of them has to be measured with the others."""
    signs = read_split("photos-gtsrb")
    bundle = tmp_path / "bundles" / "small" / "1"
    manifest = open_bundle(bundle).manifest
    trained = manifest.training.model_copy(update={"split": "mine + photos-gtsrb", "classes": signs.known_as("train")})
    replace_manifest(bundle, manifest.model_copy(update={"training": trained}))
    _, out, err = evaluate(dict.fromkeys((*signs.train, *signs.validation, *signs.test), 6))
    assert f"{len(signs.test)} test classes of {signs.dataset}, seed 1" in out
    assert f"the test classes of {signs.dataset}, the backbone's own split" in err


def test_of_numbers_that_may_be_a_datasets_classes_is_said_so(evaluate: Evaluate, tmp_path: Path) -> None:
    bundle = tmp_path / "bundles" / "small" / "1"
    manifest = open_bundle(bundle).manifest
    trained = manifest.training.model_copy(update={"split": "photos-gtsrb", "classes": ("GTSRB/1", "GTSRB/2")})
    replace_manifest(bundle, manifest.model_copy(update={"training": trained}))
    _, out, err = evaluate({"1": 8, "3": 8, "5": 8})
    assert "the backbone was trained on classes with the names 1; if they are these, give --split FILE" in err
    assert "trained on none" not in err
    assert "3 classes that it was not trained on" in out


def test_nothing_is_measured_on_classes_that_it_was_trained_on(evaluate: Evaluate) -> None:
    status, _, err = evaluate({"apple": 8, "bus": 8})
    assert status == 1
    assert "the backbone was trained on every class of" in err


def test_episodes_are_what_there_are_images_for(evaluate: Evaluate) -> None:
    status, out, err = evaluate({"a": 9, "b": 30, "c": 7, "d": 4, "e": 0, "f": 9, "g": 9, "h": 9}, "--json", imported=True)
    assert status == 0
    assert "left out, since they have fewer than 6 images: d (4), e (0)" in err
    assert rows(out) == [(5, 1, 6), (5, 5, 2)]


def test_very_few_images_are_enough_for_one_shot(evaluate: Evaluate) -> None:
    status, out, err = evaluate({"a": 3, "b": 2, "c": 1}, "--json", imported=True)
    assert status == 0
    assert "fewer than 2 images: c (1)" in err
    assert rows(out) == [(2, 1, 1)]


@pytest.mark.parametrize(
    ("counts", "flags", "message"),
    [
        ({"a": 8, "b": 8}, ("--shots", "10"), "0 classes have the 11 images that episodes of 10 shots need"),
        ({"a": 8, "b": 8}, ("--ways", "3"), "3-way episodes need 3 classes, got 2"),
        ({"a": 8, "b": 1}, (), "1 classes have the 2 images that episodes of 1 shots need"),
        ({"a": 8, "b": 8}, ("--part", "test"), "--part names classes of a split; give --split too"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    evaluate: Evaluate, counts: dict[str, int], flags: tuple[str, ...], message: str
) -> None:
    status, _, err = evaluate(counts, *flags, imported=True)
    assert status == 1
    assert message in err


def test_what_was_asked_for_is_kept_to(evaluate: Evaluate) -> None:
    status, out, _ = evaluate({"a": 8, "b": 8, "c": 3}, "--json", "--shots", "2", "--queries", "4", "--ways", "2", imported=True)
    assert status == 0
    assert rows(out) == [(2, 2, 4)]
