"""The way of one task onto another backbone, and back.

Support set embedded there (`server.journeys.reembed`) -> head fitted in shadow -> judged beside the one that serves
(`server.refresh.verdict`) -> active and noted in one transaction, or noted as kept. Back: the version before is active again,
or, where the examples have changed since, they are fitted on the backbone from before.
"""

from collections.abc import Callable

from models.heads.fitting import fit_head
from models.heads.head import BackboneRef, Head
from server.engine.backbone import ServedBackbone
from server.errors import BackboneUnavailable, Conflict, ExampleNotFound, VersionNotFound
from server.journeys.adapt import ATTEMPTS
from server.journeys.head_options import chosen_again
from server.journeys.reembed import support_on
from server.refresh.verdict import Side, judge_move
from server.service import Service
from server.store.records import Support, Task, VersionConflict
from server.store.refresh_records import Noting, Reason, RefreshJob, RefreshNote, RefreshTask

Progress = Callable[[int], None]
"""Called with how many images have just been embedded."""

_CHANGED_MEANWHILE = (VersionConflict, VersionNotFound, ExampleNotFound)


async def move_task(service: Service, job: RefreshJob, task_id: str, target: ServedBackbone, progress: Progress) -> None:
    """Moves a task onto a backbone unless it falls by too much there or nothing can tell, and notes what became of it.

    Args:
        target: held by the caller.

    Raises:
        TaskNotFound: it has been deleted.
        RefreshStopped: the refresh was paused or cancelled; the task is as it was.
        Conflict: others kept changing the task at the same time.
        ImageNotKept, ImageBroken, ImageUnsupported, ImageTooLarge: its images cannot be embedded again.
        Unavailable: the server cannot do it now.
    """
    for _ in range(ATTEMPTS):
        task = await service.in_thread(service.store.task, job.tenant, task_id)
        if task.version.backbone == target.space.backbone:
            reason = Reason("same_backbone", "it was on that bundle already")
            note = RefreshNote(job.id, "unchanged", version_before=task.version.number, reason=reason)
            await service.in_writer(service.store.refreshes.note, job.tenant, task_id, note)
            return
        try:
            await _move(service, job, task, target, progress)
        except _CHANGED_MEANWHILE:
            continue
        return
    raise Conflict("other requests keep changing this task; try again")


async def return_task(service: Service, job: RefreshJob, moved: RefreshTask, progress: Progress) -> None:
    """Returns a moved task to the backbone that it came from, and notes it. Examples added and removed since then stay so.

    Raises:
        BackboneUnavailable: that backbone is not on this server any more.
        TaskNotFound, RefreshStopped, Conflict, ImageNotKept, ImageBroken, ImageUnsupported, ImageTooLarge, Unavailable: as in
            `move_task`.
    """
    assert moved.backbone_before is not None
    origin = await service.backbones.serving(moved.backbone_before)
    with origin.hold():
        for _ in range(ATTEMPTS):
            task = await service.in_thread(service.store.task, job.tenant, moved.task)
            try:
                await _return(service, job, moved, task, origin, progress)
            except _CHANGED_MEANWHILE:
                continue
            return
    raise Conflict("other requests keep changing this task; try again")


async def _move(service: Service, job: RefreshJob, task: Task, target: ServedBackbone, progress: Progress) -> None:
    before = await _as_it_serves(service, job.tenant, task)
    support, head = await _fit(service, job.tenant, task, before.backbone if before else None, target, progress)
    verdict = await service.in_background(judge_move, before, Side(support, target, head.options), job.max_drop)

    def note(after: Task | None) -> RefreshNote:
        return RefreshNote(
            job.id,
            "kept" if after is None else "moved",
            version_before=task.version.number,
            backbone_before=task.version.backbone,
            version_after=after.version.number if after else None,
            judgement=verdict.judgement,
            reason=verdict.reason,
        )

    if not verdict.moves:
        await service.in_writer(service.store.refreshes.note, job.tenant, task.id, note(None))
        return
    embedded = dict(zip(support.ids, support.embeddings, strict=True))
    moved = await service.in_writer(service.store.refresh, job.tenant, task.id, task.version.number, embedded, head, note)
    service.active.keep(job.tenant, task.id, moved.version.number, head)
    if service.support.cached(job.tenant, task.id, task.version.number):  # It is being asked, and would be held up.
        await service.in_background(service.support.keep, job.tenant, task.id, moved.version.number, support, target)


async def _return(
    service: Service, job: RefreshJob, moved: RefreshTask, task: Task, origin: ServedBackbone, progress: Progress
) -> None:
    def note(code: str, detail: str) -> Noting:
        return lambda after: RefreshNote(job.id, "returned", version_returned=after.version.number, reason=Reason(code, detail))

    if task.version.backbone == origin.space.backbone:  # Somebody was faster.
        noted = note("same_backbone", "it was on the bundle that it came from already")(task)
        await service.in_writer(service.store.refreshes.note, job.tenant, task.id, noted)
        return
    if task.version.number == moved.version_after and moved.version_before is not None:
        put_back = note("put_back", "the version from before the refresh answers again")
        try:
            await service.in_writer(
                service.store.put_back, job.tenant, task.id, moved.version_after, moved.version_before, put_back
            )
        except VersionNotFound:  # One of its examples has been forgotten, and it with that.
            pass
        else:
            return
    now = await _if_there(service, task.version.backbone)
    support, head = await _fit(service, job.tenant, task, now, origin, progress)
    embedded = dict(zip(support.ids, support.embeddings, strict=True))
    changed = note(
        "changed_since", "it was changed since the refresh: a new version has those changes on the bundle that it came from"
    )
    back = await service.in_writer(service.store.refresh, job.tenant, task.id, task.version.number, embedded, head, changed)
    service.active.keep(job.tenant, task.id, back.version.number, head)


async def _fit(
    service: Service, tenant: str, task: Task, usual: ServedBackbone | None, target: ServedBackbone, progress: Progress
) -> tuple[Support, Head]:
    """The active support set on another backbone, and a head of it.

    Args:
        usual: the backbone it is on, which tells of a version of before that was kept what of its options somebody asked for.
    """
    support = await support_on(service, tenant, task.id, task.version.number, target, progress)
    was = usual.bundle.manifest.head if usual else None
    options = await service.in_background(
        chosen_again, task.version.options, was, target.bundle, support.labels, support.embeddings
    )
    return support, await service.in_background(fit_head, support.embeddings, support.labels, target.space, options)


async def _as_it_serves(service: Service, tenant: str, task: Task) -> Side | None:
    """The active support set on its own backbone; None if that is not on this server any more."""
    if (backbone := await _if_there(service, task.version.backbone)) is None:
        return None
    support = await service.in_thread(service.store.support, tenant, task.id, task.version.number)
    return Side(support, backbone, task.version.options)


async def _if_there(service: Service, backbone: BackboneRef) -> ServedBackbone | None:
    try:
        return await service.backbones.serving(backbone)
    except BackboneUnavailable:
        return None
