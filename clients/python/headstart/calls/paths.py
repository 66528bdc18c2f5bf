"""The paths of tasks and of what they have."""

from urllib.parse import quote


def task_path(task: str, *rest: str) -> str:
    """The path of a task, or of a part of it. An id cannot lead to another path, whatever is in it."""
    return "/".join(["/v1/tasks", *(quote(part, safe="") for part in (task, *rest))])
