"""All errors that callers hear about. This module knows nothing of HTTP: `server.http.problems` has the status of each error.

    HeadstartError                       code
    ├── NotFound
    │   ├── TaskNotFound                 task_not_found
    │   ├── ExampleNotFound              example_not_found
    │   ├── CaptureNotFound              capture_not_found
    │   ├── ImageNotKept                 image_not_kept
    │   ├── VersionNotFound              version_not_found
    │   ├── AnswerForgotten              answer_forgotten
    │   ├── BackboneNotFound             backbone_not_found
    │   ├── RefreshNotFound              refresh_not_found
    │   └── KeyNotFound                  key_not_found
    ├── Invalid                          the request was understood but cannot be fulfilled
    │   ├── InvalidRequest               invalid_request
    │   ├── InvalidLabel                 invalid_label
    │   ├── TooFewClasses                too_few_classes
    │   ├── NotForSeveralLabels          not_for_several_labels
    │   ├── InvalidArchive               invalid_archive
    │   ├── InvalidBundle                invalid_bundle
    │   ├── ImageBroken                  image_broken
    │   ├── ImageUnsupported             image_unsupported
    │   ├── LimitExceeded                limit_exceeded
    │   └── IdempotencyKeyReused         idempotency_key_reused
    ├── TooLarge
    │   ├── BodyTooLarge                 body_too_large
    │   └── ImageTooLarge                image_too_large
    ├── UnsupportedMediaType             unsupported_media_type
    ├── MalformedRequest                 malformed_request
    ├── UrlTooLong                       url_too_long
    ├── HeadersTooLarge                  headers_too_large
    ├── HeaderTimeout                    header_timeout
    ├── BodyTimeout                      body_timeout
    ├── HostNotAllowed                   host_not_allowed
    ├── OriginNotAllowed                 origin_not_allowed
    ├── QuotaExceeded                    quota_exceeded
    ├── StoredQuotaExceeded              stored_quota_exceeded
    ├── Conflict                         conflict
    ├── KeyRotated                       key_rotated
    ├── BackboneInUse                    backbone_in_use
    ├── BackboneNotOpen                  backbone_not_open
    ├── WrongRefreshState                wrong_refresh_state
    └── Unavailable                      nothing is wrong with the request
        ├── Overloaded                   overloaded
        ├── EngineFailed                 engine_failed
        ├── BackboneUnavailable          backbone_unavailable
        ├── StorageFailed                storage_failed
        └── ErasurePending               erasure_pending

A detail is written for the caller: it never contains a path, an address, a traceback or anything of another tenant.
"""

from dataclasses import dataclass
from typing import ClassVar

from server.keys import without_secrets

_LONGEST_DETAIL = 500  # characters: a detail may quote the request, which may be large


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An unreadable image of a refused request: its position from 0, its error's code and detail, and the name of its file."""

    position: int
    code: str
    detail: str
    file_name: str | None = None


class HeadstartError(Exception):
    """The base of all errors.

    Attributes:
        code: a stable name of the error.
        detail: a text for people that says what happened and what to do.
        images: the images that cannot be read, if that is the error and the request had several.
        retry_after: the seconds after which a retry may help; None if it does not help.
    """

    code: ClassVar[str]
    retry_after: int | None = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail if len(detail) <= _LONGEST_DETAIL else detail[:_LONGEST_DETAIL] + "…"
        self.images: list[UnreadableImage] = []


class NotFound(HeadstartError):
    """Something that the request names does not exist."""


class TaskNotFound(NotFound):
    code = "task_not_found"

    def __init__(self, task: str) -> None:
        super().__init__(f"there is no task {task!r}")


class ExampleNotFound(NotFound):
    code = "example_not_found"

    def __init__(self, example: str) -> None:
        super().__init__(f"the active version of this task has no example {example!r}")


class CaptureNotFound(NotFound):
    code = "capture_not_found"

    def __init__(self, capture: str) -> None:
        super().__init__(f"this task has no capture {capture!r}: it was decided about, it is too old, or it never was")


class ImageNotKept(NotFound):
    code = "image_not_kept"

    def __init__(self, what: str = "example") -> None:
        super().__init__(f"the server kept no image of this {what}, only its embedding: it was started with --keep-images=false")


class VersionNotFound(NotFound):
    code = "version_not_found"

    def __init__(self, version: int | str, active: int | None = None) -> None:
        answering = "" if active is None else f" that answers; version {active} does"
        super().__init__(f"this task has no version {version}{answering}")


class AnswerForgotten(NotFound):
    code = "answer_forgotten"

    def __init__(self) -> None:
        super().__init__(
            "the answer to this Idempotency-Key was forgotten together with its task or an example of it; "
            "nothing was done; to create again, use a new key"
        )


class BackboneNotFound(NotFound):
    code = "backbone_not_found"

    def __init__(self, backbone: str) -> None:
        super().__init__(f"there is no backbone {backbone!r} on this server")


class RefreshNotFound(NotFound):
    code = "refresh_not_found"

    def __init__(self, refresh: str) -> None:
        super().__init__(f"there is no refresh {refresh!r}")


class KeyNotFound(NotFound):
    code = "key_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no key {without_secrets(key)!r}")


class Invalid(HeadstartError):
    """The request was understood but cannot be fulfilled as it is."""


class InvalidRequest(Invalid):
    code = "invalid_request"


class InvalidLabel(Invalid):
    code = "invalid_label"


class TooFewClasses(Invalid):
    code = "too_few_classes"


class NotForSeveralLabels(Invalid):
    code = "not_for_several_labels"

    def __init__(self, what: str) -> None:
        super().__init__(f"an image of this task may have several labels; such tasks do without: {what}")


class InvalidArchive(Invalid):
    code = "invalid_archive"


class InvalidBundle(Invalid):
    code = "invalid_bundle"


class ImageBroken(Invalid):
    code = "image_broken"


class ImageUnsupported(Invalid):
    code = "image_unsupported"


class LimitExceeded(Invalid):
    """The request has more of something than a setting allows. The detail names it, the number sent and the limit."""

    code = "limit_exceeded"

    def __init__(self, what: str, value: int, limit: int) -> None:
        super().__init__(f"{what}: {value}; the limit is {limit}")


class IdempotencyKeyReused(Invalid):
    code = "idempotency_key_reused"


class TooLarge(HeadstartError):
    """The request has more bytes or pixels than a setting allows."""


class BodyTooLarge(TooLarge):
    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is larger than the limit of {limit} bytes")


class ImageTooLarge(TooLarge):
    code = "image_too_large"


class UnsupportedMediaType(HeadstartError):
    code = "unsupported_media_type"


class MalformedRequest(HeadstartError):
    """The request is not HTTP/1.1 as the standard defines it."""

    code = "malformed_request"


class UrlTooLong(HeadstartError):
    code = "url_too_long"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the URL is longer than the limit of {limit} bytes")


class HeadersTooLarge(HeadstartError):
    code = "headers_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the headers are larger than the limit of {limit} bytes")


class HeaderTimeout(HeadstartError):
    code = "header_timeout"


class BodyTimeout(HeadstartError):
    code = "body_timeout"


class Unauthenticated(HeadstartError):
    """The request brings no key that is valid now."""

    code = "unauthenticated"


class Forbidden(HeadstartError):
    """The caller's key is valid and does not allow this."""

    code = "forbidden"


class QuotaExceeded(HeadstartError):
    """The caller brings more a minute than its quota. Without `retry_after` the request can never pass as it is.

    Attributes:
        quota: `requests` or `images`.
    """

    code = "quota_exceeded"
    retry_after: int | None = 1

    def __init__(self, quota: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.quota = quota
        self.retry_after = retry_after


class StoredQuotaExceeded(HeadstartError):
    """The tenant would have more of something stored than its quota. Waiting does not help, and removing does.

    Attributes:
        quota: what there would be too many of.
    """

    code = "stored_quota_exceeded"

    def __init__(self, quota: str, used: int, limit: int) -> None:
        super().__init__(f"{quota} of this tenant, with those of this request: {used}; its quota is {limit}; nothing was stored")
        self.quota = quota


class HostNotAllowed(HeadstartError):
    code = "host_not_allowed"

    def __init__(self, host: str) -> None:
        super().__init__(f"this server does not answer to the name {host!r}; whoever runs it can allow it with --allowed-hosts")


class OriginNotAllowed(HeadstartError):
    code = "origin_not_allowed"

    def __init__(self, origin: str) -> None:
        super().__init__(f"a web page of {origin} may not do this; whoever runs the server can allow it with --allowed-origins")


class Conflict(HeadstartError):
    code = "conflict"
    retry_after = 1


class KeyRotated(HeadstartError):
    code = "key_rotated"

    def __init__(self, key: str, successor: str) -> None:
        super().__init__(f"key {key} was rotated, and key {successor} in its place is valid: rotate that one, or revoke it first")


class BackboneInUse(HeadstartError):
    code = "backbone_in_use"


class BackboneNotOpen(HeadstartError):
    code = "backbone_not_open"


class WrongRefreshState(HeadstartError):
    code = "wrong_refresh_state"

    def __init__(self, refresh: str, state: str, action: str) -> None:
        verb = "roll back" if action == "rollback" else action
        super().__init__(f"cannot {verb} refresh {refresh}: it is {state}")


class Unavailable(HeadstartError):
    """Nothing is wrong with the request."""

    retry_after: int | None = 1


class Overloaded(Unavailable):
    code = "overloaded"


class EngineFailed(Unavailable):
    code = "engine_failed"


class BackboneUnavailable(Unavailable):
    """The bundle is missing or cannot be run. This lasts until somebody brings it back."""

    code = "backbone_unavailable"
    retry_after = None


class StorageFailed(Unavailable):
    """The store cannot be read or written.

    Attributes:
        disk_full: whether a full disk is the reason. Then reading and removing still work, and waiting alone does not help.
    """

    code = "storage_failed"

    def __init__(self, detail: str, *, disk_full: bool = False, retry_after: int | None = 5) -> None:
        super().__init__(detail)
        self.disk_full = disk_full
        self.retry_after = None if disk_full else retry_after


class ErasurePending(Unavailable):
    code = "erasure_pending"
    retry_after = 5

    def __init__(self, where: str) -> None:
        super().__init__(f"it is removed, but its bytes are still {where}; ask again until the answer is that it does not exist")
