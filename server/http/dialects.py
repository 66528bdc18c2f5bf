"""The ways of other services' clients: how they name a task, where their key is, and where they read an error."""

import re
from typing import Literal
from uuid import UUID

from starlette.types import Scope

from server.ids import id_of_uuid

CUSTOM_VISION = "/customvision/v3.0/Prediction"
"""The path of Custom Vision's predictions, as its documentation has it and our routes do."""

_PREDICTION_KEY = b"prediction-key"
_OF_CUSTOM_VISION = re.compile(r"/customvision/v3\.[01]/[Pp]rediction/([^/]+)(/.*)")  # its SDKs say v3.1 and a small p
_OF_HUGGING_FACE = re.compile(r"/v1/tasks/[^/]+/hf")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

ErrorMember = Literal["error", "message"]
"""The member of an error's body in which clients of another service look for its text."""


def understand(scope: Scope, root: str) -> None:
    """Puts a request of Custom Vision's clients as our own clients would: path, task and key. Others stay as they are.

    The scope is changed, and not copied: the connection may yet write into it.

    Args:
        root: the prefix of our paths.
    """
    found = _OF_CUSTOM_VISION.fullmatch(scope["path"].removeprefix(root))
    if found is None:
        return
    project, rest = found.groups()
    task = id_of_uuid("task", UUID(project)) if _UUID.fullmatch(project) else project
    scope["path"] = f"{root}{CUSTOM_VISION}/{task}{rest}"
    scope["headers"] = [
        (b"authorization", b"Bearer " + value) if name == _PREDICTION_KEY else (name, value) for name, value in scope["headers"]
    ]


def error_member(path: str) -> ErrorMember | None:
    """Returns where clients of a path read an error beside `detail`; None for clients of ours."""
    if path.startswith("/customvision/"):
        return "message"
    return "error" if _OF_HUGGING_FACE.fullmatch(path) else None
