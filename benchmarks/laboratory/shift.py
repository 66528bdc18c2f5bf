"""Photographs that turn into sketches, blur or noise: what is lost, and what unlabelled images give back.

    python -m benchmarks.laboratory shift --data DATA --minutes 60 --out shift

A head is fitted on five clean examples a class, as the server fits it, and asked about photographs of the same classes that were
changed. The network is left as it was, or adapted from the changed photographs without their labels, by every such method of
`training/adaptation/`. The images that it is asked about are those that it adapts to. Hyper-parameters are chosen by the mean
accuracy on validation classes; novel classes only measure. For `--data`, `--minutes` and `--out` see `transfer`.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.laboratory.cells import FOR_ALL, Cells, TimeOver
from benchmarks.laboratory.domain_bench import Bench, Contest, Test, add_arguments, open_bench, scores
from benchmarks.laboratory.domain_report import Results, write
from benchmarks.laboratory.experiment import Experiment
from models.backbones import Backbone
from training.adaptation.last_layer import LastLayer
from training.adaptation.method import Unlabelled
from training.adaptation.registry import FROM_IMAGES
from training.data.dataset import ImageSet
from training.evaluation.episodes import SHOTS

_REFERENCE = "as it was"
_FIVE = max(SHOTS)
_GREY = (0.299, 0.587, 0.114)
_STRENGTH, _SIGMA, _NOISE = 3.0, 0.02, 0.2


class _AsItWas:
    """Adapts nothing."""

    def source(self, backbone: Backbone, images_n3HW: Tensor) -> Backbone:  # noqa: ARG002
        return backbone

    def adapt(self, backbone: Backbone, head: nn.Module, images_n3HW: Tensor) -> nn.Module:  # noqa: ARG002
        return nn.Sequential(backbone, head).eval()


def sketch(images_N3HW: Tensor) -> Tensor:
    """Returns dark lines on white where the brightness changes: one less the length of Sobel's gradient."""
    grey_N1HW: Tensor = (images_N3HW * images_N3HW.new_tensor(_GREY)[:, None, None]).sum(dim=1, keepdim=True)
    across = images_N3HW.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8.0
    slopes_N2HW = functional.conv2d(functional.pad(grey_N1HW, (1,) * 4, "replicate"), torch.stack([across, across.T])[:, None])
    lines_N1HW: Tensor = 1.0 - _STRENGTH * slopes_N2HW.norm(dim=1, keepdim=True)
    return lines_N1HW.clamp(0.0, 1.0).expand_as(images_N3HW)


def blur(images_N3HW: Tensor) -> Tensor:
    """Returns the images behind a Gaussian filter whose deviation is a fiftieth of their side."""
    deviation = _SIGMA * images_N3HW.shape[-1]
    reach = max(1, round(3 * deviation))
    steps = torch.arange(-reach, reach + 1, device=images_N3HW.device, dtype=images_N3HW.dtype)
    kernel = functional.softmax(-0.5 * (steps / deviation).square(), dim=0)
    rows = functional.pad(images_N3HW, (reach,) * 4, "replicate").flatten(0, 1)[:, None]
    filtered = functional.conv2d(functional.conv2d(rows, kernel[None, None, None]), kernel[None, None, :, None])
    return filtered.view_as(images_N3HW)


def noise(images_N3HW: Tensor) -> Tensor:
    """Returns the images with Gaussian noise of a deviation of 0.2, drawn with PyTorch's global random numbers."""
    return (images_N3HW + _NOISE * torch.randn_like(images_N3HW)).clamp(0.0, 1.0)


SHIFTS: Mapping[str, Callable[[Tensor], Tensor]] = {"none": lambda images: images, "sketch": sketch, "blur": blur, "noise": noise}


def run(arguments: argparse.Namespace) -> None:
    """Shifts, adapts, measures and reports."""
    bench = open_bench(arguments)
    if bench.initial.folded:
        sys.exit(f"{bench.initial.origin} has no statistics that could be adapted: its export folded them into the weights")
    protocol = bench.protocol(arguments)
    cells = Cells(arguments.out, protocol, arguments.minutes)
    results = Results("shift", protocol, _REFERENCE)
    ways: dict[str, Mapping[str, Unlabelled]] = {_REFERENCE: {"": _AsItWas()}}
    ways |= {name: entry.candidates for name, entry in FROM_IMAGES.items()}
    try:
        for shift in SHIFTS:
            for name, candidates in ways.items():
                _contest(bench, name, candidates, shift).measure(cells, bench, results)
    except TimeOver:
        print(f"{arguments.minutes:g} minutes are over; the same command goes on")
    write(arguments.out, results, tuple(SHIFTS))
    print((arguments.out / "table.md").read_text())


def _contest(bench: Bench, name: str, candidates: Mapping[str, Unlabelled], shift: str) -> Contest:
    def tested(candidate: Unlabelled) -> Test:
        def test(support: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
            target = SHIFTS[shift](queries)
            backbone = candidate.source(bench.backbone, support)
            _, head = cast("nn.Sequential", LastLayer().adapt(backbone, support, labels, int(labels.max()) + 1))
            return scores(candidate.adapt(bench.backbone, head, target), target)

        return test

    return Contest((name, shift), candidates, _shots, tested)


def _shots(images: ImageSet) -> int | None:
    return _FIVE if min(map(len, images.indices_by_class())) > _FIVE else None


EXPERIMENT = Experiment(
    name="shift",
    summary="photographs that turn into sketches, blur or noise, with and without adaptation from unlabelled images",
    add_arguments=add_arguments,
    run=run,
    minutes=60,
    minutes_of=FOR_ALL,
)
