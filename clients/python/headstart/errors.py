"""All errors that the client itself raises.

    HeadstartError
    ├── NoImages                  a folder or list without the images a call needs; nothing was sent
    ├── RequestTooLarge           more examples than the server takes in one request; nothing was sent
    ├── ServerUnreachable         no answer: nothing listens, the connection broke or time ran out
    ├── UnexpectedReply           something answered that does not speak this API
    │   └── ProxyError            a proxy or gateway in front of the server answered in its place
    ├── UnreadableImages          `Predictions.checked()` on a reply with images that the server could not read
    └── ApiError                  the server refused the request
        ├── Unauthenticated       it asks for a key, and the client has none that is valid
        ├── Forbidden             the key does not allow this
        ├── NotFound
        │   ├── TaskNotFound
        │   ├── ExampleNotFound
        │   ├── CaptureNotFound       it was decided about, or is too old
        │   ├── ImageNotKept          the server keeps only the embedding of this example
        │   ├── VersionNotFound
        │   ├── BackboneNotFound
        │   └── RefreshNotFound
        ├── InvalidInput          the request must be corrected before it is sent again
        │   ├── InvalidImage      one of the images is broken, too large or of an unsupported format
        │   └── InvalidBundle     a bundle cannot be trusted, read, or run on that server
        ├── Conflict              somebody else changed the same thing at the same time
        ├── BackboneInUse         tasks use it, or it is the default, or work is under way on it
        ├── BackboneNotOpen       only an open one can be the default
        ├── WrongRefreshState     a refresh in this state allows no such change
        ├── QuotaExceeded         the caller brings more requests or images a minute than it may
        ├── StoredQuotaExceeded   the tenant would have more stored than it may; waiting does not help
        └── Unavailable           the request is right, but cannot be answered now
            ├── BackboneUnavailable   the server lacks the bundle of the task, or of new tasks
            └── Overloaded

A file that cannot be opened raises Python's own `OSError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class HeadstartError(Exception):
    """Base of all errors of the client."""


class NoImages(HeadstartError, ValueError):
    """A folder or list lacks the images that the call needs; nothing was sent."""


class RequestTooLarge(HeadstartError, ValueError):
    """The examples of a call are more than the server takes in one request; nothing was sent."""


class ServerUnreachable(HeadstartError):
    """No reply came; the server may or may not have carried out the request."""


class UnexpectedReply(HeadstartError):
    """Something answered that does not speak this API: another service, a proxy, a server of another version."""


class ProxyError(UnexpectedReply):
    """A proxy or gateway in front of the server answered in its place. The message names it and says what to do.

    Attributes:
        status: HTTP status of its reply.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


class UnreadableImages(HeadstartError):
    """Some images of a prediction could not be read.

    Attributes:
        details: the server's reason for each, by the image's position in the call.
        names: of all images of the call: paths, or their places in it.
    """

    def __init__(self, details: Mapping[int, str], names: Sequence[str] = ()) -> None:
        super().__init__(details, names)
        self.details = details
        self.names = names

    def __str__(self) -> str:
        names = self.names or [f"image {position + 1}" for position in range(max(self.details, default=-1) + 1)]
        return "; ".join(f"{names[position]}: {detail}" for position, detail in self.details.items())


class ApiError(HeadstartError):
    """The server refused the request.

    Attributes:
        status: HTTP status of the reply.
        code: stable, for programs.
        detail: for people.
        request_id: identifies the request in the server's log.
        retry_after: seconds to wait before another try; None if the server does not say.
    """

    def __init__(
        self, status: int, code: str, detail: str, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(status, code, detail, request_id, retry_after)
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.detail} ({self.code})"


class Unauthenticated(ApiError):
    """The server asks for a key, and the client has none, or one that is mistyped, revoked or expired."""


class Forbidden(ApiError):
    """The client's key does not allow this: its scope is too small, or it is for one task."""


class NotFound(ApiError):
    """Something that the request names does not exist."""


class TaskNotFound(NotFound):
    """No such task exists, or it was deleted."""


class ExampleNotFound(NotFound):
    """The active version of the task has no such example."""


class CaptureNotFound(NotFound):
    """The task has no such captured prediction any more: somebody decided about it, or it is too old."""


class ImageNotKept(NotFound):
    """The server keeps no images, or kept none when this example was added."""


class VersionNotFound(NotFound):
    """The task has no such version."""


class BackboneNotFound(NotFound):
    """The server has no bundle of that id in its folders."""


class RefreshNotFound(NotFound):
    """No such refresh exists."""


class InvalidInput(ApiError):
    """The request must be corrected before it is sent again."""


@dataclass(frozen=True, slots=True)
class BrokenImage:
    """One of the images of a refused request, by its position from 0."""

    position: int
    code: str
    detail: str


class InvalidImage(InvalidInput):
    """Some of the images are broken, too large or of an unsupported format.

    Attributes:
        images: the refused ones; empty if the server does not say.
    """

    images: tuple[BrokenImage, ...] = ()


class InvalidBundle(InvalidInput):
    """The bundle cannot be trusted, read, or run on the server; the detail says why."""


class BackboneInUse(ApiError):
    """The backbone stays open: tasks use it, or new tasks get it, or work is under way on it."""


class BackboneNotOpen(ApiError):
    """The backbone must be opened first."""


class WrongRefreshState(ApiError):
    """The refresh is in a state that does not allow this; the detail names the state."""


class QuotaExceeded(ApiError):
    """The caller brings more requests or images a minute than its quota.

    If waiting helps, `retry_after` says how long, and the client has waited several times already. Else the request is too large
    ever to pass.
    """


class StoredQuotaExceeded(ApiError):
    """The tenant would have more tasks, examples, bytes or captures than its quota. Deleting or forgetting makes room."""


class Conflict(ApiError):
    """Another request changed the same thing at the same time. Read it again before trying again."""


class Unavailable(ApiError):
    """The server cannot answer now. If waiting may help, the client has already tried several times."""


class BackboneUnavailable(Unavailable):
    """The bundle of the task, or of new tasks, is missing or damaged on the server. Waiting does not help."""


class Overloaded(Unavailable):
    """The server has more work than it can do."""


_BY_CODE: Mapping[str, type[ApiError]] = {
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "task_not_found": TaskNotFound,
    "example_not_found": ExampleNotFound,
    "capture_not_found": CaptureNotFound,
    "image_not_kept": ImageNotKept,
    "version_not_found": VersionNotFound,
    "backbone_not_found": BackboneNotFound,
    "refresh_not_found": RefreshNotFound,
    "wrong_refresh_state": WrongRefreshState,
    "backbone_in_use": BackboneInUse,
    "backbone_not_open": BackboneNotOpen,
    "backbone_unavailable": BackboneUnavailable,
    "invalid_bundle": InvalidBundle,
    "image_broken": InvalidImage,
    "image_unsupported": InvalidImage,
    "image_too_large": InvalidImage,
    "overloaded": Overloaded,
    "quota_exceeded": QuotaExceeded,
    "stored_quota_exceeded": StoredQuotaExceeded,
}

# For codes that are newer than this client.
_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: InvalidInput,
    401: Unauthenticated,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
    429: Overloaded,
    503: Unavailable,
}


def api_error(status: int, problem: Mapping[str, Any], retry_after: float | None) -> ApiError:
    """The error for an `application/problem+json` body."""
    code = str(problem["code"])
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ApiError)
    error = kind(status, code, str(problem["detail"]), problem.get("request_id"), retry_after)
    if isinstance(error, InvalidImage):
        error.images = tuple(BrokenImage(each["position"], each["code"], each["detail"]) for each in problem.get("images") or ())
    return error
