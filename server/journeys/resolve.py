"""Decisions about captured predictions: some become examples of one new, active version, others are removed for good."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.heads.head import Float32
from models.labels import Label
from server.errors import InvalidRequest, LimitExceeded
from server.ids import new_id
from server.journeys.adapt import refit
from server.journeys.forget import erase
from server.journeys.quality import accuracy_of
from server.journeys.reembed import AT_ONCE, embed_stored
from server.journeys.replay import with_said
from server.journeys.retry import retry_on_conflict
from server.journeys.support_set import check_mode, spelt_as_before
from server.metrics import Stopwatch
from server.rates import charged
from server.schemas.from_records import changed_task_reply
from server.schemas.replies import ChangedTaskReply
from server.service import Service
from server.store.capture_records import CaptureInfo
from server.store.records import Asked, ExampleImage, NewExample, Task, TaskKey


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions of one request.

    Attributes:
        labels: the class that each capture belongs to, by the id of the capture, or None for none; labels are cleaned. Where an
            image may have several labels, the tuple of them.
        discarded: ids of captures to be removed.
    """

    labels: Mapping[str, Label | None]
    discarded: Sequence[str]


async def resolve(service: Service, key: TaskKey, decisions: Decisions, asked: Asked | None) -> ChangedTaskReply:
    """Carries out all the decisions, or none of them.

    Raises:
        TaskNotFound, CaptureNotFound: there is no such task, or it has no such capture any more.
        ImageNotKept: another backbone embedded a capture, and its image was not kept.
        InvalidRequest, LimitExceeded: there is nothing to do, or too much.
        StoredQuotaExceeded: the tenant may not have as many examples.
        QuotaExceeded: those that have to be embedded again are too many for the caller's quota now.
        Conflict: others kept changing the task at the same time.
        ErasurePending: all is done, but bytes of discarded captures are still in the database's log or in the object store.
        Unavailable: the server cannot do it now.
        ReplayExists: the request was answered meanwhile under its idempotency key.
    """
    _check(service, decisions)
    watch = Stopwatch(service.metrics)

    async def attempt() -> ChangedTaskReply:
        task = await service.pools.in_thread(service.store.tasks.get, key)
        added = await _examples(service, task, decisions.labels)
        head, quality = await refit(service, task, list(added.values()), None, watch) if added else (None, None)
        with watch.stage("store"):
            kept = with_said(asked, quality, watch.milliseconds())
            changed = await service.pools.in_writer(
                service.store.captures.resolve,
                key,
                task.version.number,
                added,
                decisions.discarded,
                head,
                kept,
                accuracy_of(quality),
            )
        if head is not None:
            service.heads.keep(key, changed.version.number, head)
        return changed_task_reply(changed, quality, watch.milliseconds())

    try:
        async with service.changing(key):
            return await retry_on_conflict(attempt)
    finally:  # Also if a capture is gone: an earlier request may have removed it and not have been able to erase it.
        if decisions.discarded:
            await erase(service, key.tenant)


def _check(service: Service, decisions: Decisions) -> None:
    if not decisions.labels and not decisions.discarded:
        raise InvalidRequest("there are no captures; name at least one")
    if len(decisions.labels) > (most := service.settings.queue_images):
        raise LimitExceeded("captures to label in this request", len(decisions.labels), most)


async def _examples(service: Service, task: Task, labels: Mapping[str, Label | None]) -> dict[str, NewExample]:
    """Returns, by the id of each labelled capture, the example that it becomes. The store adds the image."""
    infos = await service.pools.in_thread(service.store.captures.get, task.key, list(labels))
    check_mode(labels.values(), task.labels)
    classes = {entry.label for entry in task.version.classes}
    spelt = dict(zip(labels, spelt_as_before(labels.values(), classes), strict=True))
    elsewhere = await _embedded_again(
        service, task, [info for info in infos if info.backbone_sha256 != task.version.backbone.sha256]
    )
    return {
        info.id: NewExample(
            id=new_id("example"),
            label=spelt[info.id],
            image=None,
            size=info.size,
            media_type=info.media_type,
            sha256=info.sha256 if service.settings.keep_images else None,
            embedding=elsewhere.get(info.id, info.embedding),
        )
        for info in infos
    }


async def _embedded_again(service: Service, task: Task, infos: Sequence[CaptureInfo]) -> dict[str, Float32]:
    """Returns embeddings of captures by the task's backbone, from their images."""
    if not infos:
        return {}
    found: dict[str, Float32] = {}
    with charged(len(infos)):
        async with service.backbones.use(task.version.backbone) as backbone:
            for start in range(0, len(infos), AT_ONCE):
                ids = [info.id for info in infos[start : start + AT_ONCE]]
                images_of, stored = service.pools.in_images, service.store.captures.image
                read = await asyncio.gather(*(images_of(stored, task.key, id_) for id_ in ids))
                images = [ExampleImage(id_, image) for id_, (image, _) in zip(ids, read, strict=True)]
                found |= await embed_stored(service, backbone, images)
    return found
