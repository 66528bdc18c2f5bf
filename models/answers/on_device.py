"""Answers on a GPU, by PyTorch: heads and support indices stay there, and a batch of mixed tasks is a few products.

Heads of similar size share a table. A batch gathers its rows from the tables, one for each image, and multiplies them at once.
Only probabilities, novelty and neighbours come back to the host.

Shape legend: N images of a batch, D features, S slots of a table, K classes, n examples, M negatives; K, n and M are padded to
powers of two.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.answers.question import Answer, Question
from models.answers.rows import KINDS, head_rows, index_rows
from models.answers.tables import Tables
from models.arrays import on_host
from models.heads.head import BackboneMismatch, EmbeddingSpace, Head, features
from models.novelty.detector import KAPPA_WITHOUT_LAW, WEIGHT_WITHOUT_LAW, WIDTH, Background
from models.novelty.negatives import SOFTNESS, WEIGHT
from models.novelty.space import NoveltySpace
from models.novelty.support_index import Neighbours, SupportIndex
from models.tensors import on_device

_TABLES_BYTES = 2**29  # of all heads, and as much of all indices
_GATHERED_BYTES = 256 * 2**20  # of the rows of one product


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The results for the questions whose heads, or whose indices, share a table.

    Attributes:
        members: positions among the questions.
        starts: where the rows of each member but the first begin.
        values: tensors with a row for each image.
    """

    members: Sequence[int]
    starts: Sequence[int]
    values: Sequence[Tensor]


class DeviceAnswers:
    """Answers questions about images of one backbone, as `models.answers.on_host.HostAnswers` does. One thread calls it.

    Args:
        space: of the backbone, in the host's memory.
        background: returns the backbone's background. It is called only where a question has an index.
        device: of the embeddings.
    """

    def __init__(self, space: EmbeddingSpace, background: Callable[[], Background], device: torch.device) -> None:
        self._space = space
        self._background = background
        self._device = device
        self._mean = self._put(space.mean)
        self._heads = Tables[Head](device, _TABLES_BYTES, head_rows)
        self._indices = Tables[SupportIndex](device, _TABLES_BYTES, index_rows)

    @torch.inference_mode()
    def __call__(self, embeddings: Tensor, asked: Sequence[tuple[Question, slice]]) -> list[Answer]:
        """Returns an answer to each question. All answers come to the host in one copy.

        Args:
            embeddings: (N, D) on the device, of the images of a batch.
            asked: the questions, and the rows of the images that each is about.

        Raises:
            BackboneMismatch: a head was fitted in another space.
        """
        for tables in (self._heads, self._indices):  # both, also where no question has an index
            tables.forget()
        for question, _ in asked:
            if question.head.backbone != self._space.backbone:
                raise BackboneMismatch(f"a head fitted on {question.head.backbone} cannot read these embeddings")
        judged, searched = self._judged(embeddings, asked), self._searched(embeddings, asked)
        found = _fetched([*judged, *searched])
        return [_answer(question, *found[position]) for position, (question, _) in enumerate(asked)]

    def _judged(self, embeddings: Tensor, asked: Sequence[tuple[Question, slice]]) -> list[_Part]:
        """Computes the probabilities of every question, (n, K)."""
        plain, centred = features(embeddings, None), features(embeddings, self._mean)
        parts = []
        for members, table, slots in self._heads.look_up([question.head for question, _ in asked]):
            here, of_rows, starts = self._placed([asked[position][1] for position in members], slots)
            f_ND = torch.where(table["centre"][of_rows][:, None], centred[here], plain[here])
            scores_NK = _products(f_ND, table["weight"], of_rows, slots) + table["bias"][of_rows]
            scaled_NK = scores_NK.double() / table["temperature"][of_rows][:, None]
            independent = table["independent"][of_rows][:, None]
            shares_NK = torch.where(independent, torch.sigmoid(scaled_NK), torch.softmax(scaled_NK, dim=-1))
            parts.append(_Part(members, starts, [shares_NK]))
        return parts

    def _searched(self, embeddings: Tensor, asked: Sequence[tuple[Question, slice]]) -> list[_Part]:
        """Computes novelty (n,), and positions and cosines of the nearest examples (n, count), for questions with an index."""
        with_index = [position for position, (question, _) in enumerate(asked) if question.index is not None]
        indices = [index for question, _ in asked if (index := question.index) is not None]
        if not indices:
            return []
        background, typicality = self._background(), None
        queries = self._novelty_space.features(embeddings)
        if background.law is None:
            typicality = features(embeddings, None) @ self._direction
        parts = []
        for found, table, slots in self._indices.look_up(indices):
            members = [with_index[position] for position in found]
            here, of_rows, starts = self._placed([asked[position][1] for position in members], slots)
            cosines = _products(queries[here], table["codes"], of_rows, slots) * table["scales"][of_rows]
            to_means, to_examples, to_negatives = torch.split(cosines, [table[name].shape[1] for name in KINDS], dim=1)
            searched = _Searched(to_means, to_examples, to_negatives, table, of_rows)
            familiarity = searched.familiarity(background, None if typicality is None else typicality[here])
            novelty = torch.sigmoid((table["threshold"][of_rows] - familiarity) / WIDTH)
            nearest = searched.nearest(max(asked[position][0].nearest for position in members))
            parts.append(_Part(members, starts, [novelty, *nearest]))
        return parts

    def _placed(self, rows: Sequence[slice], slots: Sequence[int]) -> tuple[Tensor, Tensor, list[int]]:
        """Returns the rows of some questions, the slot of each row, and where the rows of each question but the first begin."""
        counts = [own.stop - own.start for own in rows]
        here = np.concatenate([np.arange(own.start, own.stop) for own in rows])
        on_there, of_rows = self._put(np.stack([here, np.repeat(slots, counts)]))
        return on_there, of_rows, np.cumsum(counts)[:-1].tolist()

    @cached_property
    def _novelty_space(self) -> NoveltySpace:
        space = self._background().space
        return NoveltySpace(space.normalise, *(self._put(each) for each in (space.centre, space.directions, space.less)))

    @cached_property
    def _direction(self) -> Tensor:
        return self._put(self._background().direction)

    def _put(self, array: NDArray[Any]) -> Tensor:
        return on_device(array, self._device)


@dataclass(frozen=True, slots=True)
class _Searched:
    """Cosines of N queries, each with the classes and examples of its own task.

    Attributes:
        to_means: (N, K), of which the first `ways` count.
        to_examples: (N, n), of which the first `examples` count.
        to_negatives: (N, M), of which the first `negatives` count.
        table: of the indices.
        slots: (N,).
    """

    to_means: Tensor
    to_examples: Tensor
    to_negatives: Tensor
    table: Mapping[str, Tensor]
    slots: Tensor

    def familiarity(self, background: Background, typicality: Tensor | None) -> Tensor:
        """Returns the familiarity (N,) of `models.novelty.detector`."""
        real = self.table["means"][self.slots]
        ways = real.sum(dim=1)
        law = background.law
        kappa = law.kappa if law else KAPPA_WITHOUT_LAW
        highest = self.to_means.masked_fill(~real, -torch.inf).amax(dim=1)
        powers = torch.exp(kappa * (self.to_means - highest[:, None])) * real
        smooth = highest + torch.log(powers.sum(dim=1) / ways) / kappa
        if law is None:
            assert typicality is not None
            return smooth + WEIGHT_WITHOUT_LAW * (typicality - self.table["usual"][self.slots]).clamp(max=0.0) - self._lost()
        nearest = self._examples().amax(dim=1)
        mean = (self.to_means * real).sum(dim=1) / ways
        return (1.0 - law.nearest) * smooth + law.nearest * nearest - law.others * mean - self._lost()

    def _lost(self) -> Tensor | float:
        """Returns the `loss` (N,) of `models.novelty.negatives`."""
        if not self.to_negatives.shape[1]:
            return 0.0
        to_negative = self.to_negatives.masked_fill(~self.table["negatives"][self.slots], -torch.inf).amax(dim=1)
        ratio = (to_negative - self._examples().amax(dim=1)) / SOFTNESS
        return WEIGHT * SOFTNESS * torch.logaddexp(ratio, torch.zeros_like(ratio))

    def nearest(self, count: int) -> tuple[Tensor, Tensor]:
        """Returns the positions and cosines (N, count) of the most similar examples, of equal ones the first first."""
        similarities, positions = torch.sort(self._examples(), dim=1, descending=True, stable=True)
        return positions[:, :count], similarities[:, :count]

    def _examples(self) -> Tensor:
        return self.to_examples.masked_fill(~self.table["examples"][self.slots], -torch.inf)


def _products(f_ND: Tensor, table_SKD: Tensor, of_rows: Tensor, slots: Sequence[int]) -> Tensor:
    """Returns the product of each row with its own slot, (N, K)."""
    if len(set(slots)) == 1:
        return f_ND @ table_SKD[slots[0]].to(f_ND.dtype).mT
    at_once = max(1, _GATHERED_BYTES // (table_SKD[0].numel() * f_ND.element_size()))
    parts = [
        torch.bmm(table_SKD[of_rows[start : start + at_once]].to(f_ND.dtype), f_ND[start : start + at_once, :, None])[..., 0]
        for start in range(0, len(f_ND), at_once)
    ]
    return torch.cat(parts)


def _fetched(parts: Sequence[_Part]) -> Mapping[int, list[NDArray[np.float64]]]:
    """Brings all values to the host at once. Returns those of each question, in the order of the parts."""
    tensors = [value for part in parts for value in part.values]
    flat = on_host(torch.cat([tensor.double().reshape(-1) for tensor in tensors]))
    arrays = iter(np.split(flat, np.cumsum([tensor.numel() for tensor in tensors])[:-1]))
    found: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    for part in parts:
        for value in part.values:
            by_member = np.split(next(arrays).reshape(value.shape), part.starts)
            for position, own in zip(part.members, by_member, strict=True):
                found[position].append(own)
    return found


def _answer(question: Question, shares: NDArray[np.float64], *searched: NDArray[np.float64]) -> Answer:
    """Returns an answer without what fills up the tables."""
    neighbours = None
    if question.index is not None:
        novelty, examples, similarities = searched
        count = min(question.nearest, question.index.examples)
        neighbours = Neighbours(novelty, examples[:, :count].astype(np.int64), similarities[:, :count].astype(np.float32))
    return Answer(shares[:, : len(question.head.labels)], neighbours)
