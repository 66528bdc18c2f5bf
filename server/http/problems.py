"""The one table from errors to HTTP, and the `application/problem+json` that it makes (RFC 9457)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi.responses import Response

from server.context import request_id
from server.errors import (
    AnswerForgotten,
    BackboneInUse,
    BackboneNotFound,
    BackboneNotOpen,
    BackboneUnavailable,
    BodyTimeout,
    BodyTooLarge,
    CaptureNotFound,
    Conflict,
    EngineFailed,
    ErasurePending,
    ExampleNotFound,
    Forbidden,
    HeadersTooLarge,
    HeaderTimeout,
    HeadstartError,
    HostNotAllowed,
    IdempotencyKeyReused,
    ImageBroken,
    ImageNotKept,
    ImageTooLarge,
    ImageUnsupported,
    InvalidArchive,
    InvalidBundle,
    InvalidLabel,
    InvalidRequest,
    KeyNotFound,
    KeyRotated,
    LimitExceeded,
    MalformedRequest,
    NotForSeveralLabels,
    OriginNotAllowed,
    Overloaded,
    QuotaExceeded,
    RefreshNotFound,
    StorageFailed,
    StoredQuotaExceeded,
    TaskNotFound,
    TooFewClasses,
    Unauthenticated,
    UnreadableImage,
    UnsupportedMediaType,
    UrlTooLong,
    VersionNotFound,
    WrongRefreshState,
)
from server.http.dialects import ErrorMember
from server.schemas.replies import Problem, ProblemImage

# Error -> status, and the detail that the reference shows for it.
TABLE: dict[type[HeadstartError], tuple[HTTPStatus, str]] = {
    MalformedRequest: (HTTPStatus.BAD_REQUEST, "this is not HTTP/1.1"),
    Unauthenticated: (HTTPStatus.UNAUTHORIZED, "this server asks for a key: send it as `Authorization: Bearer hs_…`"),
    Forbidden: (HTTPStatus.FORBIDDEN, "this takes a key that has the scope write; yours has the scope predict"),
    OriginNotAllowed: (HTTPStatus.FORBIDDEN, "a web page of https://example.org may not do this; …"),
    StoredQuotaExceeded: (
        HTTPStatus.FORBIDDEN,
        "tasks of this tenant, with those of this request: 101; its quota is 100; nothing was stored",
    ),
    TaskNotFound: (HTTPStatus.NOT_FOUND, "there is no task 'task_01…'"),
    ExampleNotFound: (HTTPStatus.NOT_FOUND, "the active version of this task has no example 'example_01…'"),
    CaptureNotFound: (
        HTTPStatus.NOT_FOUND,
        "this task has no capture 'prediction_01…': it was decided about, it is too old, or it never was",
    ),
    ImageNotKept: (
        HTTPStatus.NOT_FOUND,
        "the server kept no image of this example, only its embedding: it was started with --keep-images=false",
    ),
    VersionNotFound: (HTTPStatus.NOT_FOUND, "this task has no version 7"),
    AnswerForgotten: (
        HTTPStatus.GONE,
        "the answer to this Idempotency-Key was forgotten together with its task or an example of it; "
        "nothing was done; to create again, use a new key",
    ),
    BackboneNotFound: (HTTPStatus.NOT_FOUND, "there is no backbone 'name@2' on this server"),
    RefreshNotFound: (HTTPStatus.NOT_FOUND, "there is no refresh 'refresh_01…'"),
    KeyNotFound: (HTTPStatus.NOT_FOUND, "there is no key '0123456789ab'"),
    HeaderTimeout: (HTTPStatus.REQUEST_TIMEOUT, "the head of the request took longer than 20 seconds"),
    BodyTimeout: (HTTPStatus.REQUEST_TIMEOUT, "the body brought 17 bytes in 30 seconds"),
    Conflict: (HTTPStatus.CONFLICT, "other requests keep changing this task; try again"),
    KeyRotated: (
        HTTPStatus.CONFLICT,
        "key 0123456789ab was rotated, and key 89ab01234567 in its place is valid: rotate that one, or revoke it first",
    ),
    BackboneInUse: (HTTPStatus.CONFLICT, "tasks whose active version uses backbone name@1: 12; it stays open for them"),
    BackboneNotOpen: (HTTPStatus.CONFLICT, "backbone name@2 is not open; open it first"),
    WrongRefreshState: (HTTPStatus.CONFLICT, "cannot pause refresh refresh_01…: it is finished"),
    BodyTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request body is larger than the limit of 64000000 bytes"),
    ImageTooLarge: (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "image 3 of 10: the image has 30000 x 30000 = 900000000 pixels; the limit is 25000000",
    ),
    UrlTooLong: (HTTPStatus.REQUEST_URI_TOO_LONG, "the URL is longer than the limit of 65536 bytes"),
    UnsupportedMediaType: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send multipart/form-data or application/json, not text/plain"),
    HostNotAllowed: (HTTPStatus.MISDIRECTED_REQUEST, "this server does not answer to the name 'example.org'; …"),
    InvalidRequest: (HTTPStatus.UNPROCESSABLE_ENTITY, "10 images but 9 labels; send one label per image, in the same order"),
    InvalidLabel: (HTTPStatus.UNPROCESSABLE_ENTITY, "a label is empty; labels have 1 to 128 characters after trimming"),
    TooFewClasses: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "a task needs at least two classes with one example each; this would leave 1",
    ),
    NotForSeveralLabels: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "an image of this task may have several labels; such tasks do without: comparisons",
    ),
    InvalidArchive: (HTTPStatus.UNPROCESSABLE_ENTITY, "the archive is damaged, encrypted or not a zip file"),
    InvalidBundle: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "bundle name@2 cannot be opened: backbone.onnx: the file differs from the one that the manifest describes",
    ),
    ImageBroken: (HTTPStatus.UNPROCESSABLE_ENTITY, "image 3 of 10: the image is truncated or damaged and cannot be decoded"),
    ImageUnsupported: (HTTPStatus.UNPROCESSABLE_ENTITY, "image 3 of 10: the file is not a JPEG, PNG, WebP, HEIC or AVIF image"),
    LimitExceeded: (HTTPStatus.UNPROCESSABLE_ENTITY, "images in this request: 300; the limit is 256"),
    IdempotencyKeyReused: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "this Idempotency-Key was used for another request within 24 hours; use a new one",
    ),
    QuotaExceeded: (
        HTTPStatus.TOO_MANY_REQUESTS,
        "this tenant has used its quota of 600 images a minute; try again in 7 seconds",
    ),
    HeadersTooLarge: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the headers are larger than the limit of 65536 bytes",
    ),
    Overloaded: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the server is working on 1024 images; it takes 1024 at most, and no more than 5 seconds' work; try again",
    ),
    EngineFailed: (HTTPStatus.SERVICE_UNAVAILABLE, "the engine failed on this batch; try again"),
    BackboneUnavailable: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "this task was made with backbone name@1 (file 0123456789ab…), which this server does not have; waiting does not help: "
        "bring its bundle back and open it, or move the task onto another one with a refresh",
    ),
    StorageFailed: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the disk of the server is full; nothing was changed; reading, predicting and removing go on",
    ),
    ErasurePending: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "it is removed, but its bytes are still in the database's log, which another program is reading; ask again until "
        "the answer is that it does not exist",
    ),
}

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    images: Sequence[UnreadableImage] = (),
    member: ErrorMember | None = None,
) -> Response:
    """Returns a response in RFC 9457's form.

    Args:
        images: stand in a member of ours where there are any.
        member: has `detail` once more, for clients of another service.
    """
    body = Problem(
        type="about:blank",
        title=code.replace("_", " "),
        status=status,
        code=code,
        detail=detail,
        error=detail if member == "error" else None,
        message=detail if member == "message" else None,
        request_id=request_id.get(),
        images=[ProblemImage(**asdict(image)) for image in images] or None,
    )
    return Response(body.model_dump_json(exclude_none=True), status, headers, MEDIA_TYPE)


def error_problem(error: HeadstartError, write: Callable[..., Response] = problem) -> Response:
    """Returns the response to one of our own errors.

    Args:
        write: writes it, with the parameters of `problem`.
    """
    status, _ = TABLE[type(error)]
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return write(status, error.code, error.detail, headers, error.images)


def documented(*errors: type[HeadstartError]) -> dict[int | str, dict[str, Any]]:
    """Returns the `responses` of a route that answers these errors, an example each, for the OpenAPI document."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        status, detail = TABLE[error]
        response = responses.setdefault(
            int(status),
            {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}}},
        )
        if error.retry_after:
            response["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
        example = Problem(
            type="about:blank",
            title=error.code.replace("_", " "),
            status=status,
            code=error.code,
            detail=detail,
            request_id="req_01kam0c7v3e9m2q8x5t4r6w1zy",
        )
        response["content"][MEDIA_TYPE]["examples"][error.code] = {"value": example.model_dump(exclude_none=True)}
    return responses


_SCHEMA = {"$ref": "#/components/schemas/Problem"}
