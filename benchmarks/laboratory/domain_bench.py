"""The common part of `transfer` and `shift`: a trained network, kinds of photographs, episodes, and the choice of candidates."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.accuracy.domain_data import DOMAINS, Domain
from benchmarks.laboratory.cells import Cells
from benchmarks.laboratory.domain_report import Results
from models.backbones import Backbone, build_backbone
from models.manifest import InputSpec
from training.data.class_split import Part
from training.data.dataset import ImageSet
from training.data.loading import load_images
from training.devices import describe, pick_device
from training.evaluation.episodes import WAYS, EpisodeSampler, affordable_queries
from training.run.initial import Initial, initial_network

Test = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From support images (n, 3, H, W), their labels (n,) and queries (q, 3, H, W) of an episode to the scores (q, K)."""

_PHOTOGRAPHS = tuple(domain for domain in DOMAINS if domain.files.startswith("photos/"))
_BATCH = 256
_TO_CHOOSE = 4  # A candidate is chosen by one validation episode of a kind for so many that are measured with,
_LEAST = 5  # and by so many at least.


@dataclass(frozen=True)
class Bench:
    """A network, and the data that it is adapted to."""

    initial: Initial
    backbone: Backbone
    domains: Sequence[Domain]
    data: Path
    episodes: int
    seed: int
    device: torch.device

    def images(self, domain: Domain, part: Part) -> ImageSet | None:
        """Returns the images of one part of a domain; None where it has fewer classes than episodes have."""
        size = self.initial.input_size
        return _images(domain, part, self.data, InputSpec(height=size, width=size))

    def measured(self, part: Part) -> list[tuple[Domain, ImageSet]]:
        """Returns the domains that have such classes, with their images."""
        found = [(domain, self.images(domain, part)) for domain in self.domains]
        return [(domain, images) for domain, images in found if images is not None]

    def accuracies(self, images: ImageSet, shots: int, episodes: int, test: Test) -> list[float]:
        """Returns the accuracy on each episode. Every contestant gets the same episodes, and the same random numbers."""
        by_class = images.indices_by_class()
        sampler = EpisodeSampler(by_class, WAYS, shots, affordable_queries(by_class, shots), self.seed)
        labels = [torch.arange(WAYS, device=self.device).repeat_interleave(count) for count in (shots, sampler.queries)]
        found = []
        for index in range(episodes):
            torch.manual_seed(index)
            episode = sampler.episode(index)
            support, queries = (self._pixels(images, part) for part in (episode.support, episode.query))
            scores_qK = test(support, labels[0], queries)
            found.append(float((scores_qK.argmax(dim=1) == labels[1]).double().mean()))
        return found

    def _pixels(self, images: ImageSet, chosen: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Tensor:
        pixels = torch.from_numpy(images.images[chosen.ravel()]).to(self.device)
        return pixels.permute(0, 3, 1, 2).float() / 255.0

    def protocol(self, arguments: argparse.Namespace) -> dict[str, str | int | float]:
        """Returns what every result depends on."""
        return {
            "hardware": describe(self.device, 1),
            "torch": str(torch.__version__),
            "network": self.initial.origin,
            "input size": self.initial.input_size,
            "domains": ", ".join(domain.name for domain in self.domains),
            "ways": WAYS,
            "episodes": arguments.episodes,
            "seed": arguments.seed,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--network`, `--weights`, `--input-size`, `--domains` and `--episodes`."""
    names = [domain.name for domain in _PHOTOGRAPHS]
    parser.add_argument("--network", default="efficientnet-lite0", help="as --init of headstart-train run (default %(default)s)")
    parser.add_argument("--weights", help="as for headstart-train run")
    parser.add_argument("--input-size", type=int, default=160, metavar="PIXELS", help="(default %(default)s)")
    parser.add_argument("--domains", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--episodes", type=int, default=50, help="of each cell of the table (default %(default)s)")


def open_bench(arguments: argparse.Namespace) -> Bench:
    """Returns the network and data that the flags name; `--data` is a folder that holds photos/ and splits/."""
    device = pick_device(arguments.device)
    initial = initial_network(arguments.network, arguments.weights, arguments.input_size)
    backbone = build_backbone(initial.architecture, initial.input_size)
    backbone.load_state_dict(initial.state)
    domains = [domain for domain in _PHOTOGRAPHS if domain.name in arguments.domains]
    (data,) = arguments.data
    # The pixels of episodes are channels-last already. A CPU trains half as fast again where the weights are, too.
    backbone.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Bench(initial, backbone, domains, data, arguments.episodes, arguments.seed, device)


@cache
def _images(domain: Domain, part: Part, data: Path, spec: InputSpec) -> ImageSet | None:
    classes = domain.read_split(data).classes(part)
    return load_images(domain.paths(data), classes, spec) if len(classes) >= WAYS else None


@dataclass(frozen=True)
class Contest:
    """A method under one condition, on every domain.

    Attributes:
        key: the method's name and the condition.
        candidates: the method with other hyper-parameters, by what they are.
        shots: from the images of a domain to the examples a class; None where it has too few images.
        tested: from a candidate to what it does with an episode.
    """

    key: tuple[str, str]
    candidates: Mapping[str, Any]
    shots: Callable[[ImageSet], int | None]
    tested: Callable[[Any], Test]

    def measure(self, cells: Cells, bench: Bench, results: Results) -> None:
        """Chooses a candidate on the validation classes, and takes its accuracies on novel classes into the results.

        Raises:
            TimeOver: it is not finished.
        """
        chosen = max(self.candidates, key=lambda name: self._validation(cells, bench, name))
        for domain, values in self._accuracies(cells, bench, "test", chosen):
            results.add(self.key[0], domain, self.key[1], values, chosen)

    def _validation(self, cells: Cells, bench: Bench, candidate: str) -> float:
        """Returns the mean accuracy over the domains' validation classes; 0 where there is nothing to choose."""
        if len(self.candidates) == 1:
            return 0.0
        found = [float(np.mean(values)) for _, values in self._accuracies(cells, bench, "validation", candidate)]
        return float(np.mean(found)) if found else 0.0

    def _accuracies(self, cells: Cells, bench: Bench, part: Part, candidate: str) -> Iterator[tuple[str, list[float]]]:
        test = self.tested(self.candidates[candidate])
        episodes = bench.episodes if part == "test" else max(_LEAST, bench.episodes // _TO_CHOOSE)
        for domain, images in bench.measured(part):
            if (count := self.shots(images)) is not None:
                work = partial(bench.accuracies, images, count, episodes, test)
                yield domain.name, cells.get((*self.key, part, domain.name, candidate), work)


@torch.no_grad()
def scores(network: nn.Module, images_N3HW: Tensor) -> Tensor:
    """Returns the scores (N, K) of many images."""
    return torch.cat([network(part) for part in torch.split(images_N3HW, _BATCH)])
