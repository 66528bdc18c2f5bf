"""How fast is a training step? The project's trainer beside the script one would write with PyTorch and torchvision.

    python -m benchmarks.training_speed --out training_speed.json

Both train the same network with the same batch size, optimiser and augmentation on the same images. The usual way is float32,
eager, with images in NCHW. Its augmentation is torchvision's transforms of PIL images in a DataLoader with a worker per core:
random crop after padding, flip, colour jitter, to tensor, normalise.

The two take turns of a few seconds, so that the machine's other work affects both; the ratio is the median over the rounds. The
usual way's workers rest while it is not its turn. Its clock starts when the batches that they made ahead are used up.
Augmentation is the trainer's work from a step's number to its batch of images.

On a machine that others use too, the ratio of processor seconds tells more than that of wall-clock seconds: more processes get
more of a shared machine. It counts every core's work, the workers' included, and says nothing of a GPU's.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.training.speed_ways import Ours, Usual, cores
from training.data.dataset import ImageSet
from training.devices import describe, pick_device
from training.run.recipes import RECIPES, Recipe

# Without rotation, which the usual script does not have.
_RECIPES = ("quick", "cifar-fs-resnet12-small")
_CLASSES, _PER_CLASS = 64, 100


@dataclass(frozen=True)
class Result:
    """The measurements of one recipe: medians over the rounds.

    Attributes:
        ours, usual: images per second.
        ratio: of ours to the usual, in images per second; `ratios` of every round.
        processor_ratio: the same, in images per processor second.
        augmentation: its share of our step; on a CPU, of its processor seconds.
    """

    recipe: str
    network: str
    precision: str
    ours: float
    usual: float
    ratio: float
    ratios: tuple[float, ...]
    processor_ratio: float
    augmentation: float


def measure(recipe: Recipe, device: torch.device, rounds: int, seconds: float) -> Result:
    """Lets the two ways take turns of about `seconds` each."""
    images = _noise(recipe.input_size)
    with tempfile.TemporaryDirectory() as folder:
        ours, usual = Ours(recipe, images, device, Path(folder)), Usual(recipe, images, device)
    for way in (ours, usual):
        way.train(1)  # Untimed: libraries choose their kernels, and workers start.
    our_steps, usual_steps = (max(3, round(seconds / way.train(2).wall)) for way in (ours, usual))
    mine, theirs, shares = [], [], []
    for _ in range(rounds):
        mine.append(ours.train(our_steps))
        theirs.append(usual.train(usual_steps))
        drawn = ours.augment(our_steps)
        shares.append(drawn.processor / mine[-1].processor if device.type == "cpu" else drawn.wall / mine[-1].wall)
    ratios = tuple(their.wall / my.wall for their, my in zip(theirs, mine, strict=True))
    return Result(
        recipe=recipe.name,
        network=f"{recipe.network} {'-'.join(map(str, recipe.widths))}",
        precision=ours.precision,
        ours=recipe.batch_size / statistics.median(step.wall for step in mine),
        usual=recipe.batch_size / statistics.median(step.wall for step in theirs),
        ratio=statistics.median(ratios),
        ratios=ratios,
        processor_ratio=statistics.median(their.processor / my.processor for their, my in zip(theirs, mine, strict=True)),
        augmentation=statistics.median(shares),
    )


def _noise(size: int) -> ImageSet:
    count = _CLASSES * _PER_CLASS
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = np.repeat(np.arange(_CLASSES), _PER_CLASS)
    return ImageSet(pixels, labels, tuple(f"class {k}" for k in range(_CLASSES)), tuple(map(str, range(count))))


def main(argv: Sequence[str] | None = None) -> None:
    """Measures every recipe and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=_RECIPES, help="default: %(default)s")
    parser.add_argument(
        "--precision", choices=("auto", "bfloat16", "float32"), default="auto", help="precision of ours (default auto)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto: cuda where it is (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of a turn (default %(default)s)")
    parser.add_argument("--out", type=Path, help="receives the results as JSON")
    arguments = parser.parse_args(argv)

    device = pick_device(arguments.device)
    print(f"{describe(device, 1)}, {cores()} cores, PyTorch {torch.__version__}; images per second")
    columns = f"{'ours':>8}{'usual':>8}{'ratio':>8}{'(least, most)':>16}{'processor':>11}{'augmentation':>14}"
    print(f"{'recipe':<26}{'precision':<12}{columns}")
    results = []
    for name in arguments.recipes:
        recipe = RECIPES[name].model_copy(update={"rotation": "off", "epochs": 1000, "precision": arguments.precision})
        result = measure(recipe, device, arguments.rounds, arguments.seconds)
        results.append(asdict(result))
        spread = f"({min(result.ratios):.2f}, {max(result.ratios):.2f})"
        print(
            f"{name:<26}{result.precision:<12}{result.ours:>8.0f}{result.usual:>8.0f}{result.ratio:>8.2f}{spread:>16}"
            f"{result.processor_ratio:>11.2f}{100 * result.augmentation:>12.1f} %",
            flush=True,
        )
    if arguments.out:
        hardware = {"device": describe(device, 1), "cores": cores(), "torch": str(torch.__version__)}
        arguments.out.write_text(json.dumps({**hardware, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
