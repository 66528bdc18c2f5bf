"""A few training steps on one process or several: `python -m tests.helpers.several_devices '[{"ways": 4}]'` has two."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from tests.helpers.training_runs import BASE, CPU, recipe, started
from training.run.distributed import disband, make_fabric
from training.run.feed import TrainingSet
from training.run.loop import Trainer

PRECISION = "float32"


def learnt(changes: dict[str, Any], fabric: Fabric) -> dict[str, list[float]]:
    """Returns the loss of each of eight steps, and the sums of the running statistics after them."""
    chosen = recipe(precision=PRECISION, **changes)
    trainer = Trainer(started(chosen, BASE), [TrainingSet(BASE, None)], Path(tempfile.gettempdir()), fabric)
    losses = [float(trainer.step(step)) for step in range(8)]
    statistics = [float(value.sum()) for name, value in trainer.learner.state_dict().items() if "running" in name]
    return {"losses": losses, "statistics": statistics}


if __name__ == "__main__":
    torch.set_num_threads(1)
    both = make_fabric(CPU, 2, recipe(precision=PRECISION))
    both.launch()
    found = [learnt(changes, both) for changes in json.loads(sys.argv[1])]
    if both.is_global_zero:
        print(json.dumps(found))
    disband(both)
