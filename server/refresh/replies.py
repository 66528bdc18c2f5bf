"""From the records of refreshes to the bodies of replies."""

from collections.abc import Mapping

from server.refresh.progress import UnderWay
from server.schemas.predictions import ProblemInPlace
from server.schemas.refreshes import (
    DoneOf,
    MeanAccuracy,
    RefreshAccuracy,
    RefreshReply,
    RefreshTaskReply,
    RefreshVersions,
)
from server.store.refresh_records import Outcome, Reason, Refresh, RefreshTask

# Of outcomes that come over many tasks at once, which need no note of their own.
_OF_OUTCOME: Mapping[Outcome, Reason] = {
    "gone": Reason("task_not_found", "it was deleted"),
    "skipped": Reason("refresh_stopped", "it was still waiting when the refresh was cancelled or failed"),
}


def refresh_reply(refresh: Refresh, under_way: UnderWay | None) -> RefreshReply:
    """Returns a refresh, with what the servers tell that work on it. Of this one, `under_way` is the latest."""
    at_work = dict(refresh.at_work)
    if under_way and under_way.lease.id in at_work:
        at_work[under_way.lease.id] = under_way.progress
    done = min(refresh.images_done + sum(each.embedded for each in at_work.values()), refresh.images)
    rate = sum(each.images_per_second or 0.0 for each in at_work.values()) or None
    left = (refresh.images - done) / rate if rate else None
    accuracy = None
    if refresh.before is not None and refresh.after is not None:
        accuracy = MeanAccuracy(tasks=refresh.judged, before=refresh.before, after=refresh.after)
    return RefreshReply(
        id=refresh.id,
        to=refresh.bundle,
        max_drop=refresh.max_drop,
        state=refresh.state,
        reason=_reason(refresh.reason),
        tasks=dict(refresh.tasks),
        images=DoneOf(done=done, total=refresh.images),
        images_per_second=rate,
        seconds_left=left,
        accuracy=accuracy,
        created_at=refresh.created_at,
        updated_at=refresh.updated_at,
    )


def refresh_task_reply(task: RefreshTask) -> RefreshTaskReply:
    """Returns the reply about one task of a refresh."""
    judgement = task.judgement
    accuracy = None
    if judgement:
        accuracy = RefreshAccuracy(
            judged_by=judgement.by, judged=judgement.judged, before=judgement.before, after=judgement.after
        )
    return RefreshTaskReply(
        task=task.task,
        outcome=task.outcome,
        images=task.images,
        backbone_before=task.backbone_before.bundle if task.backbone_before else None,
        versions=RefreshVersions(before=task.version_before, after=task.version_after, returned=task.version_returned),
        accuracy=accuracy,
        reason=_reason(task.reason or _OF_OUTCOME.get(task.outcome)),
    )


def _reason(reason: Reason | None) -> ProblemInPlace | None:
    return ProblemInPlace(code=reason.code, detail=reason.detail) if reason else None
