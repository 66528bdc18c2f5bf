"""Steps of the architectures of sharing: 20 tasks of 5 classes with 8 images each, as in `benchmarks.laboratory sharing`."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.step_cost.comparison import Comparison, Step, in_turn, passes
from training.architectures import Architecture, Setting, architectures

TASKS, WAYS, IMAGES, SIDE = 20, 5, 8, 32
_EXPERTS = 4


def setting() -> Setting:
    """Returns the tasks of the experiment."""
    return Setting(TASKS, WAYS, side=SIDE)


def comparisons() -> Iterator[Comparison]:
    """Yields every architecture beside the passes of plain trunks that it needs."""
    for name, architecture in architectures().items():
        if name in _NEEDED:
            words, needed = _NEEDED[name]
            yield Comparison(name, words, _beside_trunks(architecture, needed))


def our_step(architecture: Architecture, images_Tn3HW: Tensor) -> Step:
    """Returns our step, without the optimiser."""
    network = architecture.build(setting())
    labels = torch.randint(WAYS, images_Tn3HW.shape[:2])
    return lambda: torch.autograd.backward(network.losses(images_Tn3HW, labels).mean() + network.penalty())


def trunk(inputs: int = 3) -> nn.Sequential:
    """Returns the trunk of one network, of PyTorch's own layers."""
    known, layers = setting(), list[nn.Module]()
    for channels in (inputs, *[known.width] * (known.blocks - 1)):
        convolution = nn.Conv2d(channels, known.width, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(known.width), nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for features, units in zip((known.width * (SIDE // 2**known.blocks) ** 2, *known.hidden), known.hidden, strict=False):
        layers += [nn.Linear(features, units), nn.ReLU()]
    return nn.Sequential(*layers)


def _one(images_Tn3HW: Tensor) -> Step:
    return passes(trunk(), [images_Tn3HW.flatten(0, 1)])


def _apart(images_Tn3HW: Tensor) -> Step:
    return in_turn(passes(trunk(), [own]) for own in images_Tn3HW)


def _everywhere(networks: int) -> Callable[[Tensor], Step]:
    return lambda images_Tn3HW: in_turn(_one(images_Tn3HW) for _ in range(networks))


def _stitched(images_Tn3HW: Tensor) -> Step:
    return in_turn([_everywhere(TASKS)(images_Tn3HW), *(_mixing(TASKS, size) for size in [*_block_sizes(), *setting().hidden])])


def _sluiced(images_Tn3HW: Tensor) -> Step:
    return in_turn([_everywhere(TASKS)(images_Tn3HW), *(_mixing(2 * TASKS, size // 2) for size in _block_sizes())])


def _block_sizes() -> list[int]:
    """Returns the numbers that each block of a trunk puts out for an image."""
    return [setting().width * (SIDE // 2**block) ** 2 for block in range(1, setting().blocks + 1)]


def _mixing(maps: int, size: int) -> Step:
    """Returns one learned mixing of so many maps of a size, whose gradient goes on to the layer below."""
    return passes(nn.Conv1d(maps, maps, 1, bias=False), [torch.rand(TASKS * IMAGES, maps, size, requires_grad=True)])


def _attended(images_Tn3HW: Tensor) -> Step:
    width, count = setting().width, images_Tn3HW.shape[1]
    steps = [_one(images_Tn3HW), passes(trunk(width), [torch.rand(TASKS * count, width, SIDE, SIDE)])]
    for block in range(setting().blocks):
        seen, side = width * (2 if block else 1), SIDE // 2**block
        steps += [passes(_mask(seen, width), [torch.rand(count, seen, side, side)]) for _ in range(TASKS)]
    return in_turn(steps)


def _mask(inputs: int, width: int) -> nn.Sequential:
    """Returns the attention of one task at one block."""
    hidden = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    return nn.Sequential(*hidden, nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.Sigmoid())


def _taught(images_Tn3HW: Tensor) -> Step:
    return in_turn([_one(images_Tn3HW), _apart(images_Tn3HW)])


_NEEDED: dict[str, tuple[str, Callable[[Tensor], Step]]] = {
    "one-network-per-task": ("a trunk for each task, on its own images", _apart),
    "soft-sharing": ("a trunk for each task, on its own images", _apart),
    "shared-trunk": ("one trunk", _one),
    "concatenation": ("one trunk", _one),
    "FiLM": ("one trunk", _one),
    "task-routing": ("one trunk", _one),
    "relation": ("one trunk", _one),
    "MTAN": ("one trunk, each task's masks, and a convolution of what they keep", _attended),
    "MMoE": ("a trunk for each expert", _everywhere(_EXPERTS)),
    "knowledge-distillation": ("one trunk, and a teacher for each task on its own images", _taught),
    "cross-stitch": ("a trunk for each task, on all images, and their mixing after each layer", _stitched),
    "sluice": ("a trunk for each task, on all images, and the mixing of their subspaces after each block", _sluiced),
}


def _beside_trunks(architecture: Architecture, needed: Callable[[Tensor], Step]) -> Callable[[], tuple[Step, Step]]:
    def prepare() -> tuple[Step, Step]:
        images = torch.rand(TASKS, IMAGES, 3, SIDE, SIDE)
        return our_step(architecture, images), needed(images)

    return prepare
