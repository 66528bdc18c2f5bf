"""The moving average of weights: its arithmetic, and that it is what is measured, exported and resumed."""

from pathlib import Path

import numpy as np
import torch

from tests.helpers.training_runs import BASE, recipe, started, trainer
from training.run.checkpoint import Checkpoint

AVERAGED = recipe(epochs=2, ema_decay=0.7, rotation="alternate")


def test_the_average_follows_its_formula_and_is_what_is_exported(tmp_path: Path) -> None:
    made = trainer(started(AVERAGED, BASE), tmp_path)
    expected: dict[str, np.ndarray] = {}
    for step in range(5):
        made.step(step)
        for name, value in made.learner.state_dict().items():
            now = value.double().numpy()
            expected[name] = now.copy() if step == 0 else 0.7 * expected[name] + 0.3 * now
    made._save(5, 0.0, [])
    saved = Checkpoint.load(tmp_path)
    exported = saved.trained_learner().state_dict()
    assert exported.keys() == saved.learner.keys()
    for name, value in exported.items():
        if value.is_floating_point():
            np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(exported["banks.0.weight"], saved.learner["banks.0.weight"])
    np.testing.assert_allclose(
        made.embed(BASE),
        saved.trained_learner().eval().embed(torch.from_numpy(BASE.images).permute(0, 3, 1, 2).float() / 255.0).numpy(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_resumed_run_goes_on_with_the_average(tmp_path: Path) -> None:
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    straight.mkdir()
    halves.mkdir()
    expected = trainer(started(AVERAGED, BASE), straight).run()
    first = trainer(started(AVERAGED, BASE), halves)
    for step in range(3):
        first.step(step)
    first._save(3, 0.0, [])
    resumed = trainer(Checkpoint.load(halves), halves).run()
    for name, value in expected.average.items():
        assert torch.equal(value, resumed.average[name]), name
    plain = trainer(started(recipe(epochs=2, rotation="alternate"), BASE), tmp_path).run()
    assert not plain.average
    for name, value in plain.learner.items():
        assert torch.equal(value, expected.learner[name]), name  # averaging changes nothing about the training
