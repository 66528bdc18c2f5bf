"""The way of one task onto another backbone, and back.

Support set embedded there (`server.reembed`) -> head fitted in shadow -> judged beside the one that serves, by the same
examples -> active and noted in one transaction, or noted as kept. Back: the version before is active again, or, where the
examples have changed since, they are fitted on the backbone from before.
"""

from collections.abc import Callable, Sequence

import numpy as np

from models.fitting import classes_of, fit_head
from models.heads import BackboneRef, Head
from models.leave_one_out import leave_one_out
from models.manifest import Evaluation, HeadOptions
from server.adapt import ATTEMPTS
from server.errors import BackboneUnavailable, Conflict, ExampleNotFound, VersionNotFound
from server.head_options import chosen, chosen_again
from server.quality import nearest_evaluation
from server.records import Support, Task, VersionConflict
from server.reembed import support_on
from server.refresh_records import Judgement, Problem, RefreshJob, RefreshNote, RefreshTask
from server.schemas.requests import TaskOptions
from server.served import ServedBackbone
from server.service import Service

Progress = Callable[[int], None]
"""Called with how many images have just been embedded."""

_ROUNDING = 1e-9
_CHANGED_MEANWHILE = (VersionConflict, VersionNotFound, ExampleNotFound)


async def move_task(service: Service, job: RefreshJob, task_id: str, target: ServedBackbone, progress: Progress) -> None:
    """Moves a task onto a backbone unless it falls by too much there, and notes what became of it.

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
            note = RefreshNote(job.id, "unchanged", version_before=task.version.number)
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
    support, head = await _fit(service, job.tenant, task, before and before[1], target, progress)
    judgement = await service.in_background(_judge, before, task.version.options, support, target, head.options)

    def note(after: Task | None) -> RefreshNote:
        return RefreshNote(
            job.id,
            "kept" if after is None else "moved",
            version_before=task.version.number,
            backbone_before=task.version.backbone,
            version_after=after.version.number if after else None,
            judgement=judgement,
            problem=_fall(judgement, job.max_drop) if after is None else None,
        )

    if _fall(judgement, job.max_drop):
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
    def note(after: Task) -> RefreshNote:
        return RefreshNote(job.id, "returned", version_returned=after.version.number)

    if task.version.backbone == origin.space.backbone:  # Somebody was faster.
        await service.in_writer(service.store.refreshes.note, job.tenant, task.id, note(task))
        return
    if task.version.number == moved.version_after and moved.version_before is not None:
        try:
            await service.in_writer(service.store.put_back, job.tenant, task.id, moved.version_after, moved.version_before, note)
        except VersionNotFound:  # One of its examples has been forgotten, and it with that.
            pass
        else:
            return
    now = await _if_there(service, task.version.backbone)
    support, head = await _fit(service, job.tenant, task, now, origin, progress)
    embedded = dict(zip(support.ids, support.embeddings, strict=True))
    back = await service.in_writer(service.store.refresh, job.tenant, task.id, task.version.number, embedded, head, note)
    service.active.keep(job.tenant, task.id, back.version.number, head)


async def _fit(
    service: Service, tenant: str, task: Task, usual: ServedBackbone | None, target: ServedBackbone, progress: Progress
) -> tuple[Support, Head]:
    """The active support set on another backbone, and a head of it.

    Args:
        usual: the backbone it is on, which tells what of its options somebody asked for; without it, only the solver stays.
    """
    support = await support_on(service, tenant, task.id, task.version.number, target, progress)
    options, defaults = task.version.options, target.bundle.manifest.head
    if usual is None:
        options = chosen(defaults, TaskOptions(solver=options.solver), support.labels)
    else:
        options = chosen_again(options, (usual.bundle.manifest.head, support.labels), (defaults, support.labels))
    return support, await service.in_background(fit_head, support.embeddings, support.labels, target.space, options)


async def _as_it_serves(service: Service, tenant: str, task: Task) -> tuple[Support, ServedBackbone] | None:
    """The active support set on its own backbone; None if that is not on this server any more."""
    if (backbone := await _if_there(service, task.version.backbone)) is None:
        return None
    return await service.in_thread(service.store.support, tenant, task.id, task.version.number), backbone


async def _if_there(service: Service, backbone: BackboneRef) -> ServedBackbone | None:
    try:
        return await service.backbones.serving(backbone)
    except BackboneUnavailable:
        return None


def _judge(
    before: tuple[Support, ServedBackbone] | None,
    options_before: HeadOptions,
    support: Support,
    target: ServedBackbone,
    options: HeadOptions,
) -> Judgement:
    """Both heads by leave-one-out; where no example can be judged so, by what the two bundles' evaluations expect."""
    if before is None:
        return Judgement("nothing", 0, None, None)
    support_before, origin = before
    method, judged, right_before = _left_out(support_before, origin, options_before)
    if judged:
        _, _, right = _left_out(support, target, options)
        return Judgement(method, judged, right_before / judged, right / judged)
    expected = [
        nearest_evaluation(evaluations, options.solver, len(set(support.labels)), len(support.labels))
        for evaluations in _in_both(origin.bundle.manifest.evaluations, target.bundle.manifest.evaluations)
    ]
    if None in expected:
        return Judgement("nothing", 0, None, None)
    accuracy_before, accuracy = (prior.accuracy for prior in expected if prior)
    return Judgement("evaluations", 0, accuracy_before, accuracy)


def _left_out(support: Support, backbone: ServedBackbone, options: HeadOptions) -> tuple[str, int, int]:
    """How the examples were left out, how many could be judged, and how many of those were recognised."""
    names, indices = classes_of(support.labels)
    features = backbone.space.features(support.embeddings, options.centre)
    left_out = leave_one_out(features, indices, len(names), options)
    among = left_out.judged
    right = left_out.probabilities[among].argmax(axis=1) == indices[among]
    return left_out.method, int(among.sum()), int(np.count_nonzero(right))


def _in_both(*evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """The evaluations of each that the others have of the same dataset, way and shot: others do not compare."""

    def test(evaluation: Evaluation) -> tuple[str, str, str, int, int]:
        return evaluation.dataset, evaluation.part, evaluation.solver, evaluation.ways, evaluation.shots

    common = set.intersection(*({test(each) for each in some} for some in evaluations))
    return [[each for each in some if test(each) in common] for some in evaluations]


def _fall(judgement: Judgement, max_drop: float) -> Problem | None:
    """What speaks against a move."""
    before, after = judgement.before, judgement.after
    if before is None or after is None or before - after <= max_drop + _ROUNDING:
        return None
    return Problem("accuracy_fell", f"accuracy would fall from {before:.3f} to {after:.3f}, by more than {max_drop:g}")
