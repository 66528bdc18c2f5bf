"""Two processes that share each batch learn what one process learns from it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training_runs import CPU, recipe
from training.devices import DeviceError
from training.distributed import make_fabric

ROOT = Path(__file__).parent.parent


def train(devices: int, changes: dict[str, Any]) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "tests.several_devices", str(devices), json.dumps(changes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=ROOT, env=environment)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "changes",
    [{"rotation": "alternate", "balancing": "uncertainty"}, {"ways": 4, "shots": 2, "rotation": "all"}],
    ids=["joint", "tasks"],
)
def test_two_processes_have_the_loss_curve_of_one(changes: dict[str, Any]) -> None:
    alone, together = train(1, changes), train(2, changes)
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    assert together["statistics"] == pytest.approx(alone["statistics"], rel=1e-3)


@pytest.mark.parametrize("balancing", ["gradnorm", "pcgrad", "mgda"])
def test_balancing_that_needs_every_gradient_stays_on_one_device(balancing: str) -> None:
    with pytest.raises(DeviceError, match=f"{balancing} balances gradients on one device only"):
        make_fabric(CPU, 2, recipe(balancing=balancing))
