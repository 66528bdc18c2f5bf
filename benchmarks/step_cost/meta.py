"""Steps of the meta-learning methods: the forward and backward pass of 5-shot episodes of random pictures through Conv-4.

The numbers of episodes, ways, queries and inner steps are those of our entry.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.step_cost.comparison import Comparison, Step, in_turn, passes
from models.backbones import Conv4
from training.objectives.inner_loop import InnerLoopObjective, use_batch_statistics
from training.objectives.learned_rule import LearnedRule
from training.objectives.methods import MetaMethod, MetaObjective, methods

SHOTS, SIDE, WIDTH = 5, 32, 64

Batches = list[Tensor]


def _adapt_and_ask(steps: Callable[[Any], int]) -> Callable[[Any, Tensor, Tensor], Batches]:
    """Returns the passes of one episode: so many on the support set, and one on the queries."""
    return lambda objective, support, query: [support.flatten(0, 1)] * steps(objective) + [query.flatten(0, 1)]


def _minibatches(objective: Any, support: Tensor, query: Tensor) -> Batches:
    return [batch.flatten(0, 1) for batch in torch.cat([support, query], dim=1).tensor_split(objective.steps, dim=1)]


def _everything(objective: Any, support: Tensor, query: Tensor) -> Batches:
    return [torch.cat([support, query], dim=1).flatten(0, 1)] * objective.steps


_INNER_LOOPS: dict[str, tuple[str, Callable[[Any, Tensor, Tensor], Batches]]] = {
    "FOMAML": ("the inner loop and the queries", _adapt_and_ask(lambda maml: maml.steps)),
    "iMAML": (
        "the inner loop, the queries, and a pass for each product of the Hessian",
        _adapt_and_ask(lambda imaml: imaml.steps + imaml.solver_steps),
    ),
    "Reptile": ("the minibatches", _minibatches),
    "Meta-MinibatchProx": ("the inner loop on all images", _everything),
    "meta-LSTM": ("the inner loop, the queries, and nn.LSTM over all weights", _adapt_and_ask(lambda rule: rule.steps)),
}


def comparisons() -> Iterator[Comparison]:
    """Yields every method beside the passes that it needs, but MAML, whose second order no plain pass has."""
    dim = Conv4(WIDTH, SIDE).embedding_dim
    for name, method in methods().items():
        if name in _INNER_LOOPS:
            words, needed = _INNER_LOOPS[name]
            yield Comparison(name, words, _beside_inner_loop(method, needed))
        elif not isinstance(method.objective(dim, method.episodes.ways), InnerLoopObjective):
            yield Comparison(name, "one pass of all images", _beside_one_pass(method))


def draw(method: MetaMethod) -> Tensor:
    """Returns the images of a step, (T, K, S + Q, 3, H, W)."""
    episodes = method.episodes
    return torch.rand(episodes.tasks, episodes.ways, SHOTS + episodes.queries, 3, SIDE, SIDE)


def our_step(method: MetaMethod, images_TKs3HW: Tensor) -> tuple[MetaObjective, Step]:
    """Returns our objective and its step, without the optimiser."""
    backbone = Conv4(WIDTH, SIDE)
    objective = method.objective(backbone.embedding_dim, images_TKs3HW.shape[1])
    if isinstance(objective, InnerLoopObjective):
        use_batch_statistics(backbone)

    def step() -> None:
        if isinstance(objective, InnerLoopObjective):
            objective.backward(backbone, images_TKs3HW[:, :, :SHOTS], images_TKs3HW[:, :, SHOTS:])
        else:
            embeddings = backbone(images_TKs3HW.flatten(0, 2)).view(*images_TKs3HW.shape[:3], -1)
            objective(embeddings[:, :, :SHOTS], embeddings[:, :, SHOTS:]).backward()

    return objective, step


def _beside_one_pass(method: MetaMethod) -> Callable[[], tuple[Step, Step]]:
    def prepare() -> tuple[Step, Step]:
        images = draw(method)
        return our_step(method, images)[1], passes(Conv4(WIDTH, SIDE), [images.flatten(0, 2)])

    return prepare


def _beside_inner_loop(method: MetaMethod, needed: Callable[[Any, Tensor, Tensor], Batches]) -> Callable[[], tuple[Step, Step]]:
    def prepare() -> tuple[Step, Step]:
        images = draw(method)
        objective, ours = our_step(method, images)
        backbone = Conv4(WIDTH, SIDE)
        network = nn.Sequential(backbone, nn.Linear(backbone.embedding_dim, images.shape[1]))
        batches = [batch for episode in images for batch in needed(objective, episode[:, :SHOTS], episode[:, SHOTS:])]
        plain = [passes(network, batches)]
        if isinstance(objective, LearnedRule):
            weights = sum(weight.numel() for weight in network.parameters())
            rows = torch.rand(weights, objective.steps, objective.reader.input_size)
            plain += [passes(_Outputs(objective.reader), [rows])] * len(images)
        return ours, in_turn(plain)

    return prepare


class _Outputs(nn.Module):
    """An LSTM of PyTorch's own, without its states."""

    def __init__(self, like: nn.LSTMCell) -> None:
        super().__init__()
        self.lstm = nn.LSTM(like.input_size, like.hidden_size, batch_first=True)

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.lstm(rows)[0]
        return outputs
