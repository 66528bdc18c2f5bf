"""Does a training step cost more than with public packages? Ours beside easyfsl (metric methods) and higher (inner loops).

    pip install easyfsl higher
    python -m benchmarks.step_cost --json step_cost.json

A step is the forward and backward pass of the same 5-shot episodes of random pictures through Conv-4, without the optimiser. The
numbers of episodes, ways, queries and inner steps are those of our entry. Both sides take turns on one thread. Times are those of
the processor, which other programs hardly change. The ratio is theirs by ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from time import process_time

import higher
import torch
from easyfsl.methods import FewShotClassifier, MatchingNetworks, PrototypicalNetworks, RelationNetworks
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import race, repeat
from models.backbones import Conv4
from training.objectives.anil import Anil
from training.objectives.inner_loop import InnerLoopObjective, labels_of, use_batch_statistics
from training.objectives.maml import Maml
from training.objectives.methods import MetaMethod, methods

_SHOTS, _SIDE, _WIDTH = 5, 32, 64

Step = Callable[[], None]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints milliseconds of our step, of theirs, and the ratio."""
    parser = benchmark_parser("step_cost", __doc__ or "", rounds=5, seconds=2.0)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    print("| method | beside | our step, ms | theirs, ms | theirs by ours (least, most) |\n|---|---|---|---|---|")
    figures = {}
    for name, (package, theirs) in _THEIRS.items():
        method = methods()[name]
        torch.manual_seed(0)
        episodes = method.episodes
        images = torch.rand(episodes.tasks, episodes.ways, _SHOTS + episodes.queries, 3, _SIDE, _SIDE)
        steps = {"ours": repeat(_ours(method, images)), "theirs": repeat(theirs(images))}
        rates = race(steps, arguments.rounds, arguments.seconds, process_time)
        ours, other = (1000 / rates.median(side) for side in steps)
        ratio = rates.ratio("ours", "theirs")
        print(f"| {name} | {package} | {ours:.0f} | {other:.0f} | {ratio} |", flush=True)
        figures[name] = {"package": package, "ours_ms": ours, "theirs_ms": other, "ratio": asdict(ratio)}
    write_json(arguments.json, figures)


def _ours(method: MetaMethod, images_TKs3HW: Tensor) -> Step:
    backbone = Conv4(_WIDTH, _SIDE)
    objective = method.objective(backbone.embedding_dim, images_TKs3HW.shape[1])
    if isinstance(objective, InnerLoopObjective):
        use_batch_statistics(backbone)

    def step() -> None:
        if isinstance(objective, InnerLoopObjective):
            objective.backward(backbone, images_TKs3HW[:, :, :_SHOTS], images_TKs3HW[:, :, _SHOTS:])
        else:
            embeddings = backbone(images_TKs3HW.flatten(0, 2)).view(*images_TKs3HW.shape[:3], -1)
            objective(embeddings[:, :, :_SHOTS], embeddings[:, :, _SHOTS:]).backward()

    return step


def _easyfsl(make: Callable[[], FewShotClassifier], loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Step]:
    """Returns how easyfsl trains: one episode after the other, support set and queries apart."""

    def prepare(images_TKs3HW: Tensor) -> Step:
        classifier = make()

        def step() -> None:
            for images in images_TKs3HW:
                support, query = images[None, :, :_SHOTS], images[None, :, _SHOTS:]
                classifier.process_support_set(support.flatten(0, 2), labels_of(support))
                scores = classifier(query.flatten(0, 2))
                (loss(scores, labels_of(query)) / len(images_TKs3HW)).backward()  # type: ignore[no-untyped-call]

        return step

    return prepare


def _maml(images_TKs3HW: Tensor) -> Step:
    """MAML as in the examples of higher."""
    backbone = Conv4(_WIDTH, _SIDE)
    use_batch_statistics(backbone)
    learner = nn.Sequential(backbone, nn.Linear(backbone.embedding_dim, images_TKs3HW.shape[1]))
    ours = Maml(1)

    def step() -> None:
        for images in images_TKs3HW:
            (_adapted_loss(learner, images, ours.steps, ours.rate) / len(images_TKs3HW)).backward()  # type: ignore[no-untyped-call]

    return step


def _anil(images_TKs3HW: Tensor) -> Step:
    """The inner loop of higher on the last layer alone, with all images embedded at once."""
    backbone = Conv4(_WIDTH, _SIDE)
    head = nn.Linear(backbone.embedding_dim, images_TKs3HW.shape[1])
    ours = Anil(1)

    def step() -> None:
        embeddings = backbone(images_TKs3HW.flatten(0, 2)).view(*images_TKs3HW.shape[:3], -1)
        losses = [_adapted_loss(head, of_one, ours.steps, ours.rate) for of_one in embeddings]
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]

    return step


def _adapted_loss(learner: nn.Module, images: Tensor, steps: int, rate: float) -> Tensor:
    support, query = images[None, :, :_SHOTS], images[None, :, _SHOTS:]
    optimizer = torch.optim.SGD(learner.parameters(), lr=rate)
    with higher.innerloop_ctx(learner, optimizer, copy_initial_weights=False) as (adapted, inner):
        for _ in range(steps):
            inner.step(functional.cross_entropy(adapted(support.flatten(0, 2)), labels_of(support)))
        return functional.cross_entropy(adapted(query.flatten(0, 2)), labels_of(query))


def _squared(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.mse_loss(scores, functional.one_hot(labels, scores.shape[1]).float())


def _maps() -> nn.Module:
    return nn.Sequential(Conv4(_WIDTH, _SIDE), nn.Unflatten(1, (_WIDTH, _SIDE // 16, _SIDE // 16)))


def _matching() -> FewShotClassifier:
    backbone = Conv4(_WIDTH, _SIDE)
    return MatchingNetworks(backbone=backbone, feature_dimension=backbone.embedding_dim)


_THEIRS: Mapping[str, tuple[str, Callable[[Tensor], Step]]] = {
    "ProtoNet": ("easyfsl", _easyfsl(lambda: PrototypicalNetworks(Conv4(_WIDTH, _SIDE)), functional.cross_entropy)),
    "MatchingNet": ("easyfsl", _easyfsl(_matching, functional.nll_loss)),
    "RelationNet": ("easyfsl", _easyfsl(lambda: RelationNetworks(backbone=_maps(), feature_dimension=_WIDTH), _squared)),
    "MAML": ("higher", _maml),
    "ANIL": ("higher", _anil),
}


if __name__ == "__main__":
    main()
