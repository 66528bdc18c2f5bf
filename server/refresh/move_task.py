"""The way of one task onto another backbone, and back.

Support set embedded there (`server.journeys.reembed`) -> head fitted in shadow -> judged beside the one that serves
(`server.refresh.verdict`) -> active and noted in one transaction, or noted as kept. Back: the version before is active again,
or, where the examples have changed since, they are fitted on the backbone from before.
"""

from collections.abc import Callable

from models.heads.head import Head
from server.engine.backbone import ServedBackbone
from server.errors import InvalidRequest, VersionNotFound
from server.journeys.class_names import fit_with_names, weighed
from server.journeys.head_options import chosen_again
from server.journeys.reembed import support_on
from server.journeys.retry import CHANGED_OR_SHRUNK, retry_on_conflict
from server.refresh.verdict import Side, judge_move
from server.service import Service
from server.store.records import FittedOptions, Task, TaskKey
from server.store.refresh_records import Reason, RefreshLease, RefreshNote, RefreshTask
from server.store.support_records import Support

_NAMES_NEEDED = Reason("needs_class_names", "a class of it has no image, and that bundle cannot read class names")

Progress = Callable[[int], None]
"""Called with how many images have just been embedded."""


async def move_task(
    service: Service, lease: RefreshLease, task_id: str, target: ServedBackbone, progress: Progress, *, lacks: bool
) -> None:
    """Moves a task onto a backbone unless it falls by too much there or nothing can tell, and notes what became of it.

    Args:
        lease: under which the task is claimed.
        target: in use by the caller.
        lacks: whether no server has the task's own backbone, if this one has not.

    Raises:
        TaskNotFound: it has been deleted.
        BackboneUnavailable: the task's own backbone is not on this server, and another one may have it.
        RefreshStopped: the refresh was paused or cancelled, or the claim was lost; the task is as it was.
        Conflict: others kept changing the task at the same time.
        ImageNotKept, ImageBroken, ImageUnsupported, ImageTooLarge: its images cannot be embedded again.
        Unavailable: the server cannot do it now.
    """

    async def attempt() -> None:
        task = await service.pools.in_thread(service.store.tasks.get, TaskKey(lease.job.tenant, task_id))
        if task.version.backbone == target.space.backbone:
            reason = Reason("same_backbone", "it was on that bundle already")
            note = RefreshNote(lease.job.id, lease.id, "unchanged", version_before=task.version.number, reason=reason)
            await service.pools.in_writer(service.store.refresh_work.note, task.key, note)
        else:
            await _move(service, lease, task, target, progress, lacks)

    await retry_on_conflict(attempt, CHANGED_OR_SHRUNK)


async def return_task(service: Service, lease: RefreshLease, moved: RefreshTask, progress: Progress) -> None:
    """Returns a moved task to the backbone that it came from, and notes it. Examples added and removed since then stay so.

    Raises:
        BackboneUnavailable: that backbone is not on this server any more.
        TaskNotFound, RefreshStopped, Conflict, ImageNotKept, ImageBroken, ImageUnsupported, ImageTooLarge, Unavailable: as in
            `move_task`.
    """
    assert moved.backbone_before is not None
    async with service.backbones.use(moved.backbone_before) as origin:

        async def attempt() -> None:
            task = await service.pools.in_thread(service.store.tasks.get, TaskKey(lease.job.tenant, moved.task))
            await _return(service, lease, moved, task, origin, progress)

        await retry_on_conflict(attempt, CHANGED_OR_SHRUNK)


async def _move(
    service: Service, lease: RefreshLease, task: Task, target: ServedBackbone, progress: Progress, lacks: bool
) -> None:
    if task.version.lacks_images and target.class_names is None:
        note = RefreshNote(lease.job.id, lease.id, "kept", version_before=task.version.number, reason=_NAMES_NEEDED)
        await service.pools.in_writer(service.store.refresh_work.note, task.key, note)
        return
    before = await _as_it_serves(service, task, lacks)
    support, options, head = await _fit(service, task, before.backbone if before else None, target, progress)
    verdict = await service.pools.in_background(judge_move, before, Side(support, target, options), lease.job.max_drop)
    note = RefreshNote(
        lease.job.id,
        lease.id,
        "moved" if verdict.moves else "kept",
        version_before=task.version.number,
        backbone_before=task.version.backbone,
        judgement=verdict.judgement,
        reason=verdict.reason,
    )
    if not verdict.moves:
        await service.pools.in_writer(service.store.refresh_work.note, task.key, note)
        return
    moved = await service.pools.in_writer(
        service.store.tasks.add_refreshed,
        task.key,
        task.version.number,
        support.embedded,
        head,
        note,
        verdict.accuracy,
    )
    service.heads.keep(task.key, moved.version.number, head)
    if service.support.cached(task.key, task.version.number):  # It is being asked, and would be held up.
        await service.pools.in_background(service.support.keep, task.key, moved.version.number, support, len(head.labels), target)


async def _return(
    service: Service, lease: RefreshLease, moved: RefreshTask, task: Task, origin: ServedBackbone, progress: Progress
) -> None:
    def note(code: str, detail: str) -> RefreshNote:
        return RefreshNote(lease.job.id, lease.id, "returned", reason=Reason(code, detail))

    if task.version.backbone == origin.space.backbone:  # Somebody was faster.
        same = note("same_backbone", "it was on the bundle that it came from already")
        noted = same.with_version(task.version.number)
        await service.pools.in_writer(service.store.refresh_work.note, task.key, noted)
        return
    if task.version.number == moved.version_after and moved.version_before is not None:
        put_back = note("put_back", "the version from before the refresh answers again")
        try:
            await service.pools.in_writer(
                service.store.tasks.put_back, task.key, moved.version_after, moved.version_before, put_back
            )
        except VersionNotFound:  # One of its examples has been forgotten, and it with that.
            pass
        else:
            return
    if task.version.lacks_images and origin.class_names is None:
        raise InvalidRequest(_NAMES_NEEDED.detail)
    async with service.backbones.use_if_there(task.version.backbone) as usual:
        support, _, head = await _fit(service, task, usual, origin, progress)
    changed = note(
        "changed_since", "it was changed since the refresh: a new version has those changes on the bundle that it came from"
    )
    back = await service.pools.in_writer(
        service.store.tasks.add_refreshed, task.key, task.version.number, support.embedded, head, changed
    )
    service.heads.keep(task.key, back.version.number, head)


async def _fit(
    service: Service, task: Task, usual: ServedBackbone | None, target: ServedBackbone, progress: Progress
) -> tuple[Support, FittedOptions, Head]:
    """Returns the active support set on another backbone, and a head of it with its options.

    Args:
        usual: the backbone that the set is on. An old version does not say which options its owner asked for; the defaults of
            this backbone tell.
    """
    support = await support_on(service, task.key, task.version.number, target, progress)
    was = usual.bundle.manifest.head if usual else None
    options = await service.pools.in_background(
        chosen_again, task.version.options, was, target.bundle, support.labels, support.embeddings
    )
    options = await service.pools.in_background(weighed, options, support.labels, support.embeddings, target)
    head = await service.pools.in_background(fit_with_names, support.embeddings, support.labels, options, target)
    return support, options, head


async def _as_it_serves(service: Service, task: Task, lacks: bool) -> Side | None:
    """Returns the active support set on its own backbone. If that is not on this server: None where `lacks`, else raises."""
    use = service.backbones.use_if_there if lacks else service.backbones.use
    async with use(task.version.backbone) as backbone:
        if backbone is None:
            return None
        support = await service.pools.in_thread(service.store.examples.support, task.key, task.version.number)
        return Side(support, backbone, task.version.options)
