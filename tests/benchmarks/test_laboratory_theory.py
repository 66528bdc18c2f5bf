"""The experiment on the theory at toy size, and its parts against NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.laboratory import theory
from benchmarks.laboratory.__main__ import main
from benchmarks.laboratory.theory import Tasks, WideNetwork, adapt, draw_tasks, train
from benchmarks.laboratory.theory_report import fitted


def test_the_network_is_the_one_of_the_theory() -> None:
    network, inputs = WideNetwork(3, 20, 1), draw_tasks(1, 4).inputs
    first, second = (weight.detach().numpy() for weight in network.body)
    x = np.sqrt(2) * np.maximum(inputs.numpy() @ first.T, 0)
    x = np.sqrt(2 / 20) * np.maximum(x @ second.T, 0)
    np.testing.assert_allclose(network.features(inputs).detach().numpy(), x / np.sqrt(20))


def test_a_wide_network_keeps_the_length_of_its_inputs() -> None:
    inputs = draw_tasks(1, 4).inputs
    squares = WideNetwork(4, 1000, 1).features(inputs).square().sum(dim=2)
    np.testing.assert_allclose(squares.detach().numpy(), 1.0, rtol=0.35)


def test_the_inner_loop_is_gradient_descent() -> None:
    features, targets = torch.randn(2, 6, 3, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    head = torch.randn(2, 3, dtype=torch.float64)
    expected = head.clone().requires_grad_(True)
    for _ in range(3):
        losses = 0.5 * (torch.einsum("tnd,td->tn", features, expected) - targets).square().mean(dim=1)
        (slope,) = torch.autograd.grad(losses.sum(), expected)
        expected = (expected - 0.1 * slope).detach().requires_grad_(True)
    torch.testing.assert_close(adapt(head, features, targets, 0.1, 3), expected.detach())


def test_without_an_inner_loop_and_with_one_task_anil_is_mtl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory, "_TASKS", 1)
    monkeypatch.setattr(theory, "_MOST_STEPS", 30)
    drawn = draw_tasks(3, 4)
    tasks, heads = Tasks(drawn.inputs[:2], drawn.targets[:2]), []
    for shared in (True, False):
        network = WideNetwork(3, 16, 3)
        heads.append(train(network, tasks, network.head[None], 3, 0.0, shared))
    torch.testing.assert_close(heads[0], heads[1])


def test_the_fit_finds_its_own_coefficients() -> None:
    distances = {(depth, reach): [0.4 * reach + 2.0 / depth] for depth in (2, 4, 8) for reach in (0.1, 0.5)}
    assert fitted(distances) == pytest.approx((0.4, 2.0))


def test_the_experiment_measures_its_grid_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(theory, "_MOST_STEPS", 20)
    flags = ["theory", "--out", str(tmp_path), "--width", "8", "--depths", "2", "3", "--reaches", "0.1", "--seeds", "1"]
    main([*flags, "--minutes", "-1"])
    assert "-1 minutes are over; the same command goes on" in capsys.readouterr().out
    main(flags)
    main([*flags[:-1], "2"])
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(line["depth"], line["reach"], len(line["distances"])) for line in lines] == [(2, 0.1, 2), (3, 0.1, 2)]
    assert all(0.0 < value < 10.0 for line in lines for value in line["distances"])
    assert (tmp_path / "theory.png").read_bytes().startswith(b"\x89PNG")
