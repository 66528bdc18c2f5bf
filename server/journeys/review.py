"""The review queue: captured predictions, judged again by the active version, in the order in which they help most.

Captures read -> scored by the active head and support index in one batch -> copies of examples folded away -> ordered ->
look-alikes grouped -> the entries of one page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.answers.verdicts import novelty_of_labels
from models.arrays import Floats, Ints, Reals
from models.examples.lookalikes import grouped, seen
from models.examples.usefulness import by_usefulness
from models.heads.head import Float32
from server.cache.support import SearchableSupport
from server.engine.backbone import ServedBackbone
from server.errors import CaptureNotFound, VersionNotFound
from server.ids import cursor_after_number, read_number
from server.journeys.active_task import ActiveTask, find_task
from server.journeys.classify import search
from server.journeys.predict import predictions_of, with_verdicts
from server.journeys.retry import retry_on_conflict
from server.schemas.captures import AnsweredReply, CapturePage, CaptureReply
from server.service import Service
from server.store.capture_records import CaptureInfo
from server.store.records import TaskKey

Order = Literal["most-useful", "newest", "unknown"]

_AT_ONCE = 512  # embeddings whose features stay in the core's cache


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """N captures as the active version judges them now. Where an image may have several labels, the probabilities are those with
    and against its most doubtful one.
    """

    embeddings: Float32
    probabilities: Floats
    novelty: Reals


async def review_queue(service: Service, key: TaskKey, order: Order, limit: int, after: str | None) -> CapturePage:
    """Returns a page of the captures of a task.

    Raises:
        TaskNotFound: there is no such task.
        InvalidRequest: `after` did not come from an earlier page.
        Conflict: others kept changing the task at the same time.
        Unavailable: the server cannot do it now.
    """
    start = 0 if after is None else read_number(after)

    async def attempt() -> CapturePage:
        task = await find_task(service, key)
        async with service.backbones.use(task.head.backbone) as backbone:
            return await service.pools.in_fitter(_page, service, task, backbone, order, start, limit)

    return await retry_on_conflict(attempt, (VersionNotFound, CaptureNotFound))


def _page(service: Service, task: ActiveTask, backbone: ServedBackbone, order: Order, start: int, limit: int) -> CapturePage:
    found = service.store.captures.scan(task.key, task.head.backbone.sha256, task.head.weight.shape[1])
    support = service.store.examples.support(task.key, task.version).embeddings.reshape(-1, task.head.weight.shape[1])
    fresh = np.flatnonzero(~seen(found.embeddings, support, backbone.duplicate_similarity))
    groups: list[list[str]] = []
    more = False
    if len(fresh):
        scored = _scored(task, backbone, found.embeddings[fresh])
        together = grouped(scored.embeddings, _ordered(scored, order, support), start + limit + 1)
        more = len(together) > start + limit
        groups = [[found.ids[at] for at in fresh[group]] for group in together[start : start + limit]]
    infos = service.store.captures.get(task.key, [group[0] for group in groups])
    return CapturePage(
        task=task.id,
        version=task.version,
        captures=_entries(service, task, backbone, infos, groups) if groups else [],
        total=len(found.ids) + found.others,
        duplicates=len(found.ids) - len(fresh),
        other_backbone=found.others,
        next_cursor=cursor_after_number(start + limit) if more else None,
    )


def _scored(task: ActiveTask, backbone: ServedBackbone, embeddings: Float32) -> _Scored:
    index, background = _searchable(task).index, backbone.background
    parts = [embeddings[start : start + _AT_ONCE] for start in range(0, len(embeddings), _AT_ONCE)]
    probabilities = [task.head.probabilities(part, backbone.space) for part in parts]
    if task.head.independent:
        return _Scored(embeddings, _doubts(shares := np.concatenate(probabilities)), novelty_of_labels(shares))
    if index is None:
        return _Scored(embeddings, shares := np.concatenate(probabilities), novelty_of_labels(shares))
    novelty = [index.novelty(background.queries(part), background) for part in parts]
    return _Scored(embeddings, np.concatenate(probabilities), np.concatenate(novelty))


def _doubts(probabilities: Floats) -> Floats:
    """Returns the probabilities (N, 2) with and against each image's most doubtful label, from those of K independent ones."""
    doubtful = np.abs(probabilities - 0.5).argmin(axis=1)
    share = probabilities[np.arange(len(probabilities)), doubtful]
    return np.stack([share, 1.0 - share], axis=1)


def _ordered(scored: _Scored, order: Order, support: Float32) -> Ints:
    """Returns the positions of N captures, which are the newest first, in the order asked for."""
    if order == "newest":
        return np.arange(len(scored.embeddings))
    if order == "unknown":
        return np.argsort(-scored.novelty, kind="stable")
    return by_usefulness(scored.embeddings, scored.probabilities, scored.novelty, support)


def _entries(
    service: Service, task: ActiveTask, backbone: ServedBackbone, infos: Sequence[CaptureInfo], groups: Sequence[Sequence[str]]
) -> list[CaptureReply]:
    """Returns an entry for each group, from its leader."""
    embeddings = np.stack([info.embedding for info in infos])
    support, address = _searchable(task), service.address(task.id)
    probabilities = task.head.probabilities(embeddings, backbone.space)
    predictions = predictions_of(task.head.labels, probabilities, 1, task.head.independent)
    queries = backbone.background.queries(embeddings)
    neighbours = search(support, queries, backbone.background, probabilities, task.head.independent)
    judged = with_verdicts(predictions, address, support, neighbours)
    return [
        CaptureReply(
            id=info.id,
            created_at=info.created_at,
            image=f"{address}/captures/{info.id}/image" if info.sha256 is not None else None,
            labels=suggestion.get("labels"),
            **{name: suggestion[name] for name in ("label", "probability", "known", "novelty", "nearest")},
            answered=AnsweredReply(
                version=info.version,
                label=info.answered.label,
                labels=info.answered.labels,
                probability=info.answered.probability,
                known=info.answered.known,
                novelty=info.answered.novelty,
            ),
            alike=list(group[1:]),
        )
        for info, suggestion, group in zip(infos, judged, groups, strict=True)
    ]


def _searchable(task: ActiveTask) -> SearchableSupport:
    assert task.searchable is not None
    return task.searchable
