"""Everything the client raises of its own.

    HeadstartError
    ├── NoImages                  a folder or list without the images a call needs; nothing was sent
    ├── RequestTooLarge           more examples than the server takes in one request; nothing was sent
    ├── ServerUnreachable         no answer: nothing listens, the connection broke or time ran out
    ├── UnexpectedReply           something answered, and not as this API does
    │   └── ProxyError            a proxy or gateway before the server answered in its place, and what that means
    ├── UnreadableImages          `Predictions.checked()` on a reply with images the server could not read
    └── ApiError                  the server said no, and why
        ├── NotFound
        │   ├── TaskNotFound
        │   ├── ExampleNotFound
        │   ├── ImageNotKept          of this example the server has the embedding only
        │   ├── VersionNotFound
        │   ├── BackboneNotFound
        │   └── RefreshNotFound
        ├── InvalidInput          to be corrected before it is sent again
        │   ├── InvalidImage      one of the images is broken, too large or of an unsupported format
        │   └── InvalidBundle     a bundle cannot be trusted, read, or run on that server
        ├── Conflict              somebody else changed the same thing at the same time
        ├── BackboneInUse         tasks use it, or it is the default, or work is under way on it
        ├── BackboneNotOpen       only an open one can be the default
        ├── WrongRefreshState     it has ended, or not yet, or is not paused
        └── Unavailable           nothing is wrong with the request; where waiting may help, several tries have been made
            ├── BackboneUnavailable   the server lacks the bundle of the task, or of new tasks
            └── Overloaded

A file that cannot be opened raises Python's own `OSError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class HeadstartError(Exception):
    """Base of all."""


class NoImages(HeadstartError, ValueError):
    """A folder or list lacks the images that the call needs; nothing was sent."""


class RequestTooLarge(HeadstartError, ValueError):
    """The examples of a call are more than the server takes in one request; nothing was sent."""


class ServerUnreachable(HeadstartError):
    """No answer came; what was asked may or may not have been done."""


class UnexpectedReply(HeadstartError):
    """Something answered that does not speak this API: another service, a proxy, a server of another version."""


class ProxyError(UnexpectedReply):
    """A proxy or gateway between here and the server answered in its place; the message says which and what to do.

    Attributes:
        status: of its reply.
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
        details: the server's reason by the image's position in the call.
        names: of all images of the call: paths, or their places.
    """

    def __init__(self, details: Mapping[int, str], names: Sequence[str] = ()) -> None:
        super().__init__(details, names)
        self.details = details
        self.names = names

    def __str__(self) -> str:
        names = self.names or [f"image {position + 1}" for position in range(max(self.details, default=-1) + 1)]
        return "; ".join(f"{names[position]}: {detail}" for position, detail in self.details.items())


class ApiError(HeadstartError):
    """The server said no.

    Attributes:
        status: of the HTTP reply.
        code: stable, made for programs.
        detail: made for people.
        request_id: finds the request in the server's log.
        retry_after: seconds after which the server asks to be tried again, where it says so.
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


class NotFound(ApiError):
    """What the request names does not exist."""


class TaskNotFound(NotFound):
    """There is no such task, or no longer."""


class ExampleNotFound(NotFound):
    """The active version of the task has no such example."""


class ImageNotKept(NotFound):
    """The server keeps no images, or kept none when this example was added."""


class VersionNotFound(NotFound):
    """The task has no such version."""


class BackboneNotFound(NotFound):
    """The server has no bundle of that id in its folders."""


class RefreshNotFound(NotFound):
    """There is no such refresh."""


class InvalidInput(ApiError):
    """The request has to be corrected before it is sent again."""


@dataclass(frozen=True, slots=True)
class BrokenImage:
    """One of the images of a refused request, by its position from 0."""

    position: int
    code: str
    detail: str


class InvalidImage(InvalidInput):
    """Some of the images are broken, too large or of an unsupported format.

    Attributes:
        images: which of those sent, where the server says so.
    """

    images: tuple[BrokenImage, ...] = ()


class InvalidBundle(InvalidInput):
    """The bundle cannot be trusted, read, or run on that server; the detail says why."""


class BackboneInUse(ApiError):
    """The backbone stays open: tasks use it, or new tasks get it, or work is under way on it."""


class BackboneNotOpen(ApiError):
    """The backbone has to be opened first."""


class WrongRefreshState(ApiError):
    """The refresh is not in a state where this can be done; the detail says which it is in."""


class Conflict(ApiError):
    """Somebody else changed the same thing at the same time: look again, then decide again."""


class Unavailable(ApiError):
    """The server cannot answer now. Where waiting may help, the client has already tried several times."""


class BackboneUnavailable(Unavailable):
    """The bundle of the task, or of new tasks, is missing or damaged on the server, which no waiting mends."""


class Overloaded(Unavailable):
    """More work arrives than the server can do."""


_BY_CODE: Mapping[str, type[ApiError]] = {
    "task_not_found": TaskNotFound,
    "example_not_found": ExampleNotFound,
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
}

# For codes younger than this client.
_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: InvalidInput,
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
