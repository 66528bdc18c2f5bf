"""The cost of steps at toy size: what stands beside what, what is left out, and that no pass is declared that is not needed."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.step_cost import adaptation, continual, meta, packages, sharing
from benchmarks.step_cost.__main__ import main
from benchmarks.step_cost.comparison import passes
from models.backbones import Conv4


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in (meta, packages):
        monkeypatch.setattr(part, "SIDE", 16)
    for part in (continual, adaptation):
        monkeypatch.setattr(part, "_WIDTH", 4)
        monkeypatch.setattr(part, "_SIDE", 16)
    monkeypatch.setattr(continual, "_CLASSES", 2)
    monkeypatch.setattr(continual, "_REMEMBERED", 2)
    monkeypatch.setattr(sharing, "TASKS", 2)
    monkeypatch.setattr(sharing, "IMAGES", 2)


def test_what_needs_a_missing_package_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "easyfsl.methods", None)
    for part in (meta, packages):
        monkeypatch.setattr(part, "SHOTS", 1)
    figures = tmp_path / "figures.json"
    chosen = ["ProtoNet", "MMoE", "EWC", "Tent"]
    main(["--rounds", "1", "--seconds", "0.001", "--json", str(figures), "--methods", *chosen])
    printed = capsys.readouterr().out
    measured = [(row["method"], row["beside"]) for row in json.loads(figures.read_text())]
    assert measured == [
        ("ProtoNet", "one pass of all images"),
        ("MMoE", "a trunk for each expert"),
        ("EWC", "one pass"),
        ("Tent", "20 passes"),
    ]
    for method, beside in measured:
        assert re.search(rf"^\| {method} \| {beside} \| \d+ \| \d+ \| \d+\.\d\d \(", printed, re.MULTILINE)
    assert "ProtoNet beside easyfsl is left out" in printed


def test_plain_passes_learn_from_some_batches_and_only_read_others() -> None:
    network = nn.Linear(2, 1, bias=False).double()
    one, other = torch.rand(3, 2).double(), torch.rand(4, 2).double()
    passes(network, [one, other], read=[100 * one])()
    expected = torch.autograd.grad(sum(network(batch).square().mean() for batch in (one, other)), network.weight)
    torch.testing.assert_close(network.weight.grad, expected[0])


@pytest.mark.parametrize(
    ("name", "further"), [("FOMAML", 1.0), ("meta-LSTM", 1.0), ("Reptile", 1.2), ("Meta-MinibatchProx", 1.2)]
)
def test_an_inner_loop_is_beside_no_more_passes_than_it_makes(name: str, further: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further images are those whose loss is watched."""
    seen: list[int] = []
    forward = Conv4.forward

    def counted(network: Conv4, images: Tensor) -> Tensor:
        seen.append(len(images))
        return forward(network, images)

    monkeypatch.setattr(Conv4, "forward", counted)
    (comparison,) = [comparison for comparison in meta.comparisons() if comparison.method == name]
    images = []
    for step in comparison.prepare():
        seen.clear()
        step()
        images.append(sum(seen))
    assert images[0] == pytest.approx(further * images[1])
