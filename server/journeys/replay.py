"""The reply to a retry of a request that made a version, rendered again from that version."""

from dataclasses import replace

from pydantic import BaseModel

from server.errors import AnswerForgotten, TaskNotFound, VersionNotFound
from server.schemas.from_records import changed_task_reply
from server.schemas.quality import Quality
from server.schemas.replies import ChangedTaskReply
from server.service import Service
from server.store.records import Asked, Replay, TaskKey


class _Said(BaseModel):
    """The part of a `ChangedTaskReply` that the version does not hold."""

    quality: Quality | None
    timing_ms: dict[str, float]


def with_said(asked: Asked | None, quality: Quality | None, timing_ms: dict[str, float]) -> Asked | None:
    """The request, if it may be retried, with what its reply will say. It is kept before the reply is, so no `store` is in the
    timing."""
    if asked is None:
        return None
    return replace(asked, said=_Said(quality=quality, timing_ms=timing_ms).model_dump_json())


async def changed_task_again(service: Service, tenant: str, replay: Replay) -> ChangedTaskReply:
    """Returns the reply to the first try of a request that made a version.

    Raises:
        AnswerForgotten: the version was forgotten just now.
    """
    assert replay.version is not None
    assert replay.name is not None
    try:
        task = await service.pools.in_thread(service.store.tasks.made, TaskKey(tenant, replay.task), replay.version)
    except (TaskNotFound, VersionNotFound):
        raise AnswerForgotten from None
    said = _Said.model_validate_json(replay.asked.said)
    return changed_task_reply(replace(task, name=replay.name), said.quality, said.timing_ms)
