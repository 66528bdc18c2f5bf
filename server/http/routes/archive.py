"""`/v1/tasks/{task}/archive`: a whole task as one file."""

from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response

from server.errors import ImageNotKept, StorageFailed, TaskNotFound
from server.http.audited import audited
from server.http.callers import Calling, needs
from server.http.dependencies import Served
from server.http.openapi import binary
from server.http.problems import documented
from server.http.streaming import Streamed
from server.journeys.archive import archive_pieces, plan_archive

router = APIRouter(prefix="/v1/tasks/{task}/archive", tags=["tasks"])

_ZIP = "application/zip"


@router.get(
    "",
    dependencies=needs("write") + audited("task.archive", "access"),
    summary="The active version as a zip with a folder per class",
    response_class=Response,
    responses={
        200: binary("The archive", [_ZIP]),
        **documented(TaskNotFound, ImageNotKept, StorageFailed),
    },
)
async def archive(task: str, caller: Calling, service: Served) -> Response:
    """`POST /v1/tasks` takes it again as `archive`. Hidden in it are `.negatives/`, and in `.headstart/` the head and the task's
    description. If the task is removed meanwhile, the connection is closed before the end.
    """
    planned = await plan_archive(service, caller.task_key(task))
    named = f"attachment; filename=\"{planned.task.id}.zip\"; filename*=UTF-8''{quote(planned.file_name, safe='')}"
    headers = {"Content-Disposition": named, "X-Content-Type-Options": "nosniff"}
    return Streamed(archive_pieces(service, planned), _ZIP, headers)
