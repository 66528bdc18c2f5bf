"""The benchmark of domains: the figures of `headstart-train evaluate`, paired and kept."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import left_out_laws
from benchmarks.accuracy.domain_data import DOMAINS, opener
from benchmarks.domains import main
from models.bundle import SHIPPED
from tests.helpers.bundles import another_bundle, small_bundle
from tests.helpers.domains import EACH, write_domain
from training.__main__ import main as headstart_train
from training.calibration import temperatures

_LIKE = SHIPPED / "cifar-fs-resnet12" / "1"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for seed, name in enumerate(("clothing", "dtd10")):
        write_domain(tmp_path / "data", name, seed)
    return tmp_path / "data"


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    small_bundle(_LIKE, tmp_path / "bundles", "small")
    return tmp_path / "bundles"


def run(data: Path, bundles: Path, *options: str) -> dict[str, Any]:
    out = data / "figures.json"
    command = ["--data", str(data), "--bundles-dir", str(bundles), "--domains", "clothing", "dtd10", "--json", str(out)]
    main([*command, "--engine", "onnx", "--episodes", "30", *options])
    document: dict[str, Any] = json.loads(out.read_text())
    return document


def row(document: dict[str, Any], bundle: str, domain: str, shots: int) -> dict[str, float]:
    (found,) = [r for r in document["rows"] if (r["bundle"], r["domain"], r["shots"]) == (bundle, domain, shots)]
    return dict(found)


def test_the_figures_are_those_of_evaluate(data: Path, bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = run(data, bundles, "--bundle", "small@1")
    assert document["queries"] == {"clothing": EACH - 5, "dtd10": EACH - 5}
    assert {r["ways"] for r in document["rows"]} == {5}  # six classes are too few for 20 ways
    capsys.readouterr()
    source, split = data / "photos" / "dtd10.zip", data / "splits" / "photos-dtd10.json"
    command = ["evaluate", str(bundles / "small" / "1"), "--data", str(source), "--split", str(split), "--engine", "onnx"]
    assert headstart_train([*command, "--queries", str(EACH - 5), "--episodes", "30", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    for shots, expected in zip((1, 5), results, strict=True):
        found = row(document, "small@1", "dtd10", shots)
        assert {key: found[key] for key in ("accuracy", "ci95", "ece")} == pytest.approx(
            {key: expected[key] for key in ("accuracy", "ci95", "ece")}
        )
        assert 0.25 < found["accuracy"] < 1.0


def test_a_second_run_embeds_only_what_has_changed(data: Path, bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--bundle", "small@1", "--keep", str(data / "kept"))
    first = run(data, bundles, *options)
    assert capsys.readouterr().err.count("embedding ") == 2
    assert run(data, bundles, *options) == first
    assert "embedding " not in capsys.readouterr().err
    write_domain(data, "dtd10", seed=5)
    changed = run(data, bundles, *options)
    assert [line for line in capsys.readouterr().err.splitlines() if "embedding " in line] == [
        "embedding dtd10 by small@1 on onnx"
    ]
    assert row(changed, "small@1", "clothing", 1) == row(first, "small@1", "clothing", 1)
    assert row(changed, "small@1", "dtd10", 1) != row(first, "small@1", "dtd10", 1)


def test_bundles_are_paired_and_domains_averaged(data: Path, bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    another_bundle(bundles / "small" / "1", bundles, "same")
    picture = data / "picture.png"
    document = run(data, bundles, "--bundle", "small@1", "same@1", "cifar-fs-resnet12@1", "--picture", str(picture))
    for domain in ("clothing", "dtd10", "mean of 2"):
        same = row(document, "same@1", domain, 5)
        assert same["difference"] == same["difference_ci95"] == 0.0
        other, first = row(document, "cifar-fs-resnet12@1", domain, 5), row(document, "small@1", domain, 5)
        assert other["difference"] == pytest.approx(other["accuracy"] - first["accuracy"])
        assert other["difference_ci95"] > 0.0
    parts = [row(document, "cifar-fs-resnet12@1", domain, 1) for domain in ("clothing", "dtd10")]
    mean = row(document, "cifar-fs-resnet12@1", "mean of 2", 1)
    assert mean["accuracy"] == pytest.approx(sum(part["accuracy"] for part in parts) / 2)
    assert mean["ci95"] == pytest.approx(math.hypot(*(part["ci95"] for part in parts)) / 2)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| mean of 2 |" in capsys.readouterr().out


def test_each_domain_can_have_a_bundle_that_was_made_without_it(data: Path, bundles: Path) -> None:
    document = run(data, bundles, "--bundle", "small@1", "--left-out", "dtd10=cifar-fs-resnet12@1")
    without = run(data, bundles, "--bundle", "cifar-fs-resnet12@1")
    assert row(document, "left out", "dtd10", 5)["accuracy"] == row(without, "cifar-fs-resnet12@1", "dtd10", 5)["accuracy"]
    assert row(document, "left out", "clothing", 5)["difference"] == 0.0
    difference = row(document, "left out", "dtd10", 5)["difference"]
    assert difference != 0.0
    assert row(document, "left out", "mean of 2", 5)["difference"] == pytest.approx(difference / 2)


def test_laws_of_temperature_are_fitted_on_the_validation_classes_of_other_domains(
    data: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("flowers", "gtsrb"), 7):
        write_domain(data, name, seed, "validation")
    there = [domain for domain in DOMAINS if domain.name in {"clothing", "dtd10", "flowers", "gtsrb"}]
    monkeypatch.setattr(left_out_laws, "DOMAINS", there)
    monkeypatch.setattr(temperatures, "EPISODES", 10)
    options = ("--bundle", "small@1", "--laws-left-out", "--keep", str(data / "kept"))
    first = run(data, bundles, *options)
    for domain in ("clothing", "dtd10"):
        own, other = row(first, "small@1", domain, 1), row(first, "law left out", domain, 1)
        assert own["accuracy"] == other["accuracy"]
        assert own["ece"] != other["ece"]
    assert len(list((data / "kept").glob("law-*.json"))) == 1, "neither has validation classes: both have the same law"
    assert capsys.readouterr().err.count("embedding ") == 4
    assert run(data, bundles, *options) == first
    assert "embedding " not in capsys.readouterr().err

    laws = left_out_laws.LeftOutLaws(opener(data, bundles, "onnx", data / "kept")("small@1"))
    named = {domain.name: domain for domain in there}
    assert laws.without(named["flowers"]) != laws.without(named["clothing"]) == laws.without(named["dtd10"])
