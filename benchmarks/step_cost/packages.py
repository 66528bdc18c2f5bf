"""Public packages of meta-learning: easyfsl (metric methods), higher (inner loops) and qpth (quadratic programs)."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.step_cost.comparison import Comparison, Step
from benchmarks.step_cost.meta import SHOTS, SIDE, WIDTH, draw, our_step
from models.backbones import Conv4
from training.objectives.anil import Anil
from training.objectives.inner_loop import labels_of, use_batch_statistics
from training.objectives.maml import Maml
from training.objectives.metaoptnet import SvmHead
from training.objectives.methods import methods

if TYPE_CHECKING:
    from easyfsl.methods import FewShotClassifier

_MAPS = (WIDTH, SIDE // 16, SIDE // 16)


def comparisons() -> Iterator[Comparison]:
    """Yields every method that one of the packages has."""
    yield Comparison("ProtoNet", "easyfsl", _beside("ProtoNet", _protonet))
    yield Comparison("MatchingNet", "easyfsl", _beside("MatchingNet", _matchingnet))
    yield Comparison("RelationNet", "easyfsl", _beside("RelationNet", _relationnet))
    yield Comparison("MAML", "higher", _beside("MAML", lambda images: _maml(images, first_order=False)))
    yield Comparison("FOMAML", "higher", _beside("FOMAML", lambda images: _maml(images, first_order=True)))
    yield Comparison("ANIL", "higher", _beside("ANIL", _anil))
    yield Comparison("MetaOptNet", "qpth", _beside("MetaOptNet", _metaoptnet))


def _beside(name: str, other: Callable[[Tensor], Step]) -> Callable[[], tuple[Step, Step]]:
    def prepare() -> tuple[Step, Step]:
        method = methods()[name]
        images = draw(method)
        return our_step(method, images)[1], other(images)

    return prepare


def _easyfsl(classifier: "FewShotClassifier", loss: Callable[[Tensor, Tensor], Tensor], images_TKs3HW: Tensor) -> Step:
    """Returns how easyfsl trains: one episode after the other, support set and queries apart."""

    def step() -> None:
        for images in images_TKs3HW:
            support, query = images[None, :, :SHOTS], images[None, :, SHOTS:]
            classifier.process_support_set(support.flatten(0, 2), labels_of(support))
            scores = classifier(query.flatten(0, 2))
            (loss(scores, labels_of(query)) / len(images_TKs3HW)).backward()  # type: ignore[no-untyped-call]

    return step


def _protonet(images: Tensor) -> Step:
    from easyfsl.methods import PrototypicalNetworks

    return _easyfsl(PrototypicalNetworks(Conv4(WIDTH, SIDE)), functional.cross_entropy, images)


def _matchingnet(images: Tensor) -> Step:
    from easyfsl.methods import MatchingNetworks

    backbone = Conv4(WIDTH, SIDE)
    return _easyfsl(MatchingNetworks(backbone=backbone, feature_dimension=backbone.embedding_dim), functional.nll_loss, images)


def _relationnet(images: Tensor) -> Step:
    from easyfsl.methods import RelationNetworks

    backbone = nn.Sequential(Conv4(WIDTH, SIDE), nn.Unflatten(1, _MAPS))
    return _easyfsl(RelationNetworks(backbone=backbone, feature_dimension=WIDTH), _squared, images)


def _squared(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.mse_loss(scores, functional.one_hot(labels, scores.shape[1]).float())


def _maml(images_TKs3HW: Tensor, *, first_order: bool) -> Step:
    """Returns MAML as in the examples of higher."""
    backbone = Conv4(WIDTH, SIDE)
    use_batch_statistics(backbone)
    learner = nn.Sequential(backbone, nn.Linear(backbone.embedding_dim, images_TKs3HW.shape[1]))
    ours = Maml(1)
    loss = _after_higher(learner, ours.steps, ours.rate, first_order=first_order)

    def step() -> None:
        for images in images_TKs3HW:
            (loss(images) / len(images_TKs3HW)).backward()  # type: ignore[no-untyped-call]

    return step


def _anil(images_TKs3HW: Tensor) -> Step:
    """Returns the inner loop of higher on the last layer alone, with all images embedded at once."""
    backbone = Conv4(WIDTH, SIDE)
    head = nn.Linear(backbone.embedding_dim, images_TKs3HW.shape[1])
    ours = Anil(1)
    loss = _after_higher(head, ours.steps, ours.rate, first_order=False)

    def step() -> None:
        embeddings = backbone(images_TKs3HW.flatten(0, 2)).view(*images_TKs3HW.shape[:3], -1)
        torch.stack([loss(of_one) for of_one in embeddings]).mean().backward()  # type: ignore[no-untyped-call]

    return step


def _after_higher(learner: nn.Module, steps: int, rate: float, *, first_order: bool) -> Callable[[Tensor], Tensor]:
    """Returns the loss of an episode's queries after the inner loop."""
    import higher

    optimizer = torch.optim.SGD(learner.parameters(), lr=rate)

    def loss(images: Tensor) -> Tensor:
        support, query = images[None, :, :SHOTS], images[None, :, SHOTS:]
        context = higher.innerloop_ctx(learner, optimizer, copy_initial_weights=False, track_higher_grads=not first_order)
        with context as (adapted, inner):
            for _ in range(steps):
                inner.step(functional.cross_entropy(adapted(support.flatten(0, 2)), labels_of(support)))
            return functional.cross_entropy(adapted(query.flatten(0, 2)), labels_of(query))

    return loss


def _metaoptnet(images_TKs3HW: Tensor) -> Step:
    """Returns the machine's dual as the authors' code gives it to qpth, with K·n variables."""
    from qpth.qp import QPFunction

    backbone = Conv4(WIDTH, SIDE)
    tasks, ways = images_TKs3HW.shape[:2]
    count, C = ways * SHOTS, SvmHead().C
    y_nK = torch.eye(ways, dtype=torch.double).repeat_interleave(SHOTS, dim=0)
    every_way = torch.eye(ways, dtype=torch.double)
    bounds, sums = (
        torch.eye(count * ways, dtype=torch.double),
        torch.kron(torch.eye(count).double(), torch.ones(1, ways).double()),
    )
    solve = QPFunction(verbose=False)

    def step() -> None:
        embeddings = backbone(images_TKs3HW.flatten(0, 2)).view(*images_TKs3HW.shape[:3], -1)
        support, query = embeddings[:, :, :SHOTS].flatten(1, 2).double(), embeddings[:, :, SHOTS:].flatten(1, 2)
        grams = torch.stack([torch.kron(gram, every_way) for gram in support @ support.transpose(1, 2)])
        quadratic = grams + torch.eye(count * ways, dtype=torch.double)  # as the authors do, so that it is positive definite
        alpha = solve(quadratic, -y_nK.flatten().expand(tasks, -1), bounds, C * y_nK.flatten(), sums, torch.zeros(count).double())
        alpha_TnK = alpha.view(tasks, count, ways).float()
        scores = query @ support.float().transpose(1, 2) @ alpha_TnK
        labels = torch.arange(ways).repeat_interleave(query.shape[1] // ways).repeat(tasks)
        functional.cross_entropy(scores.flatten(0, 1), labels).backward()  # type: ignore[no-untyped-call]

    return step
