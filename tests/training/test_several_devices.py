"""Two processes that share each batch learn what one process learns from it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.several_devices import learnt
from tests.helpers.training_runs import BASE, CPU, fabric, recipe, started
from training.devices import DeviceError
from training.run.distributed import make_fabric, synchronise_batch_norm

ROOT = Path(__file__).parents[2]


CHANGES: dict[str, dict[str, Any]] = {
    "joint": {"rotation": "alternate", "balancing": "uncertainty"},
    "tasks": {"ways": 4, "shots": 2, "rotation": "all"},
}


@pytest.fixture(scope="module")
def together() -> dict[str, dict[str, list[float]]]:
    """What two processes learn, for each of the recipes."""
    command = [sys.executable, "-m", "tests.helpers.several_devices", json.dumps(list(CHANGES.values()))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(zip(CHANGES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", CHANGES)
def test_two_processes_have_the_loss_curve_of_one(name: str, together: dict[str, dict[str, list[float]]]) -> None:
    alone = learnt(CHANGES[name], fabric())
    assert together[name]["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    assert together[name]["statistics"] == pytest.approx(alone["statistics"], rel=1e-3)


@pytest.mark.parametrize("balancing", ["gradnorm", "pcgrad", "mgda"])
def test_balancing_that_needs_every_gradient_stays_on_one_device(balancing: str) -> None:
    with pytest.raises(DeviceError, match=f"{balancing} balances gradients on one device only"):
        make_fabric(CPU, 2, recipe(balancing=balancing))


def test_several_devices_are_of_a_kind_not_one_by_its_number() -> None:
    with pytest.raises(DeviceError, match="cpu:0 is one device; of 2, name the kind only: cpu"):
        make_fabric(torch.device("cpu:0"), 2, recipe())


def test_a_batch_normalisation_that_does_more_is_not_converted() -> None:
    class BatchNormAct2d(torch.nn.BatchNorm2d):
        """As timm's: normalisation and activation in one layer."""

    learner = started(recipe(), BASE).new_learner()
    learner.rotation.head = BatchNormAct2d(4)  # type: ignore[assignment]
    for device in (CPU, torch.device("cuda")):
        with pytest.raises(DeviceError, match="BatchNormAct2d can be trained on one device only"):
            synchronise_batch_norm(learner, device)
