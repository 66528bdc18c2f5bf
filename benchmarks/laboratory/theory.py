"""ANIL and multi-task learning on a wide network: how far apart are their predictions for a new task?

    python -m benchmarks.laboratory theory --minutes 30 --out theory

Wang, Zhao & Li (ICML 2021, arXiv:2106.09017, section 4) bound the distance by O(λτ + 1/L) for wide networks of depth L, trained
by gradient descent on squared loss, where ANIL's inner loop takes τ steps of rate λ. Here both are trained on the same few
regression tasks, from the same weights, until the loss is a thousandth of its first. Then both adapt their last layer to an
unseen task, by the same steps. The distance is that of their predictions on other points of that task, relative to their size,
the mean over seeds. Beside it is a λτ + b / L with the a and b that fit best. Networks are those of the theory: ReLU, fully
connected, weights of variance 1 that are scaled in the forward pass (Jacot et al., NeurIPS 2018).

After `--minutes`, or when it is stopped, what is finished is kept, and the same command goes on. `--out` has results.jsonl,
table.md and theory.png.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.laboratory.cells import FOR_ALL, Cells, TimeOver
from benchmarks.laboratory.experiment import Experiment
from benchmarks.laboratory.theory_report import write

_TASKS, _POINTS, _INPUTS = 4, 8, 5  # of training; as many points of the unseen task are adapted to
_UNSEEN_POINTS = 50
_INNER_STEPS = 5
_MOMENTUM, _LAST_LOSS, _MOST_STEPS = 0.9, 1e-3, 5000


@dataclass(frozen=True)
class Tasks:
    """Regression tasks: inputs (T, n, d) on the unit sphere and targets (T, n). The last task is unseen."""

    inputs: Tensor
    targets: Tensor


def draw_tasks(seed: int, points: int) -> Tasks:
    """Returns waves sin(3 a·x), whose directions a differ a little from task to task."""
    generator = torch.Generator().manual_seed(seed)
    normal = partial(torch.randn, generator=generator, dtype=torch.float64)
    inputs = torch.nn.functional.normalize(normal(_TASKS + 1, points, _INPUTS), dim=2)
    directions = torch.nn.functional.normalize(normal(1, _INPUTS) + 0.3 * normal(_TASKS + 1, _INPUTS), dim=1)
    return Tasks(inputs, torch.sin(3.0 * torch.einsum("tnd,td->tn", inputs, directions)))


class WideNetwork:
    """The body's weights and the first head; scores are h(x)·w / √width.

    Args:
        depth: L, the number of layers with the head.
    """

    def __init__(self, depth: int, width: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        normal = partial(torch.randn, generator=generator, dtype=torch.float64)
        self.body = [normal(width, _INPUTS if layer == 0 else width).requires_grad_(True) for layer in range(depth - 1)]
        self.head = normal(width)

    def features(self, inputs_TnD: Tensor) -> Tensor:
        """Returns h(x) / √width of the last hidden layer, about as long as the input."""
        x = inputs_TnD
        for weight in self.body:
            x = math.sqrt(2.0 / (1 if x is inputs_TnD else x.shape[-1])) * torch.relu(x @ weight.T)
        return x / math.sqrt(x.shape[-1])


def adapt(head_TD: Tensor, features_TnD: Tensor, targets_Tn: Tensor, rate: float, steps: int) -> Tensor:
    """Returns the heads after gradient steps on half the mean squared error of each task."""
    for _ in range(steps):
        error_Tn = torch.einsum("tnd,td->tn", features_TnD, head_TD) - targets_Tn
        head_TD = head_TD - rate * torch.einsum("tn,tnd->td", error_Tn, features_TnD) / error_Tn.shape[1]
    return head_TD


def train(network: WideNetwork, tasks: Tasks, heads_TD: Tensor, depth: int, inner_rate: float, shared: bool) -> Tensor:
    """Trains body and heads by gradient descent with momentum, and returns the trained heads.

    Args:
        heads_TD: where they start; one row where `shared`.
        inner_rate: λ of ANIL; 0 adapts nothing before the loss.
        shared: whether all tasks have one head, as in ANIL.
    """
    heads = heads_TD.clone().requires_grad_(True)
    trained = [*network.body, heads]
    optimizer = torch.optim.SGD(trained, lr=0.5 / depth, momentum=_MOMENTUM)
    inputs, targets = tasks.inputs[:_TASKS], tasks.targets[:_TASKS]
    first = math.inf
    for step in range(_MOST_STEPS):
        features_TnD = network.features(inputs)
        started = heads.expand(_TASKS, -1) if shared else heads
        adapted = adapt(started, features_TnD, targets, inner_rate, _INNER_STEPS) if inner_rate else started
        loss = 0.5 * (torch.einsum("tnd,td->tn", features_TnD, adapted) - targets).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        first = loss.item() if step == 0 else first
        if loss.item() < _LAST_LOSS * first:
            break
    return heads.detach()


def distance(depth: int, width: int, reach: float, seed: int) -> list[float]:
    """Returns ‖F_ANIL - F_MTL‖ / ‖F_MTL‖ for the unseen task, after both have adapted.

    Args:
        reach: λτ.
    """
    rate = reach / _INNER_STEPS
    drawn = draw_tasks(seed, _POINTS + _UNSEEN_POINTS)
    tasks = Tasks(drawn.inputs[:, :_POINTS], drawn.targets[:, :_POINTS])
    support, targets, others = tasks.inputs[-1:], tasks.targets[-1:], drawn.inputs[-1:, _POINTS:]
    predictions = []
    for shared in (True, False):
        network = WideNetwork(depth, width, seed)
        start = network.head[None] if shared else network.head.expand(_TASKS, -1)
        heads = train(network, tasks, start, depth, rate if shared else 0.0, shared)
        begin = heads if shared else network.head[None]  # a new task of MTL begins with the head that all tasks began with
        with torch.no_grad():
            head = adapt(begin, network.features(support), targets, rate, _INNER_STEPS)
            predictions.append(torch.einsum("tnd,td->tn", network.features(others), head))
    anil, mtl = predictions
    return [float((anil - mtl).norm() / mtl.norm())]


def _grid(arguments: argparse.Namespace) -> Iterator[tuple[int, float, int]]:
    """Yields depth, λτ and seed of each cell: one seed of all cells before the next."""
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        for depth in arguments.depths:
            for reach in arguments.reaches:
                yield depth, reach, seed


def run(arguments: argparse.Namespace) -> None:
    """Trains, measures and reports."""
    protocol = {"torch": str(torch.__version__), "width": arguments.width, "tasks": _TASKS, "points of a task": _POINTS}
    protocol |= {"inner steps": _INNER_STEPS, "first seed": arguments.seed}
    cells = Cells(arguments.out, protocol, arguments.minutes)
    distances: dict[tuple[int, float], list[float]] = {}
    try:
        for depth, reach, seed in _grid(arguments):
            work = partial(distance, depth, arguments.width, reach, seed)
            distances.setdefault((depth, reach), []).extend(cells.get((f"{depth}", f"{reach:g}", f"{seed}"), work))
    except TimeOver:
        print(f"{arguments.minutes:g} minutes are over; the same command goes on")
    write(arguments.out, protocol, {key: values for key, values in distances.items() if values})
    print((arguments.out / "table.md").read_text())


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    depths, reaches = [2, 4, 8, 16], [0.01, 0.1, 0.3, 1.0]
    parser.add_argument("--width", type=int, default=512, help="of every hidden layer (default %(default)s)")
    parser.add_argument("--depths", type=int, nargs="+", default=depths, metavar="L", help="(default %(default)s)")
    parser.add_argument("--reaches", type=float, nargs="+", default=reaches, metavar="λτ", help="(default %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="how many networks and sets of tasks (default %(default)s)")


EXPERIMENT = Experiment(
    name="theory",
    summary="the distance between ANIL's and MTL's predictions on a wide network, beside the bound O(λτ + 1/L)",
    add_arguments=_add_arguments,
    run=run,
    minutes=30,
    minutes_of=FOR_ALL,
    needs_data=False,
)
