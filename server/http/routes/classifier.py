"""`/v1/tasks/{task}/classifier`: the active version as a file, to score images elsewhere."""

from fastapi import APIRouter
from fastapi.responses import Response

from server.errors import BackboneUnavailable, StorageFailed, TaskNotFound
from server.http.audited import audited
from server.http.callers import Calling, needs
from server.http.dependencies import Served
from server.http.openapi import binary
from server.http.problems import documented
from server.journeys.classifier import classifier_of

router = APIRouter(prefix="/v1/tasks/{task}/classifier", tags=["tasks"])

_BINARY = "application/octet-stream"


@router.get(
    "",
    dependencies=needs("write") + audited("task.classifier", "access"),
    summary="The active version as a safetensors file, to score images elsewhere",
    response_class=Response,
    responses={
        200: binary("The classifier", [_BINARY]),
        **documented(TaskNotFound, BackboneUnavailable, StorageFailed),
    },
)
async def classifier(task: str, caller: Calling, service: Served) -> Response:
    """`headstart score` reads it. It holds the head, and features of the examples that tell strangers, but no image."""
    found = await classifier_of(service, caller.task_key(task))
    content = await service.pools.in_thread(found.to_bytes)
    named = f'attachment; filename="{found.task}-{found.version}.safetensors"'
    return Response(content, media_type=_BINARY, headers={"Content-Disposition": named, "X-Content-Type-Options": "nosniff"})
