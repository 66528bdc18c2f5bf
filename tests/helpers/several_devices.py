"""Train a few steps in several processes and print the losses: `python -m tests.helpers.several_devices 2 '{"ways": 4}'`."""

import json
import sys
import tempfile
from pathlib import Path

import torch

from tests.helpers.training_runs import BASE, CPU, recipe, started
from training.run.distributed import disband, make_fabric
from training.run.feed import TrainingSet
from training.run.loop import Trainer

if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = recipe(precision="float32", **json.loads(sys.argv[2]))
    fabric = make_fabric(CPU, int(sys.argv[1]), chosen)
    fabric.launch()
    trainer = Trainer(started(chosen, BASE), [TrainingSet(BASE, None)], Path(tempfile.gettempdir()), fabric)
    losses = [float(trainer.step(step)) for step in range(8)]
    statistics = [float(value.sum()) for name, value in trainer.learner.state_dict().items() if "running" in name]
    if fabric.is_global_zero:
        print(json.dumps({"losses": losses, "statistics": statistics}))
    disband(fabric)
