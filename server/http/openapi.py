"""The parts of the OpenAPI document that FastAPI cannot see: bodies in several forms, and an example for each call."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from importlib.metadata import version
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from msgspec.json import schema_components
from pydantic.json_schema import models_json_schema

from server.errors import (
    Forbidden,
    HeadersTooLarge,
    HeaderTimeout,
    HostNotAllowed,
    MalformedRequest,
    OriginNotAllowed,
    QuotaExceeded,
    Unauthenticated,
    UrlTooLong,
)
from server.http.bodies.images import RAW_IMAGES
from server.http.problems import MEDIA_TYPE, documented
from server.schemas.base import OTHER_PREDICTION_ID, OTHER_TASK_ID, PREDICTION_ID, TASK_ID, Reply, Request
from server.schemas.dialects import PipelineBody, PipelineReply
from server.schemas.keys import KeyBody, RotateBody
from server.schemas.refreshes import RefreshBody
from server.schemas.replies import Problem
from server.schemas.requests import (
    BackboneBody,
    BackbonePatch,
    CompareBody,
    CorrectionBody,
    ExamplePatch,
    ExamplesBody,
    PredictBody,
    PredictManyBody,
    ResolveBody,
    TaskBody,
    TaskPatch,
)

_DESCRIPTION = """A few labelled images in, a working classifier out, in one request.

On a server that has keys, each call but those without a lock takes `Authorization: Bearer hs_…`, a key of the scope beside it.

Errors are `application/problem+json` (RFC 9457) with a stable `code`. Every response carries `X-Request-ID`.

Where several servers share a database, the answer to a change has `Headstart-At-Least`. Whichever server is sent it with a later
request knows of that change.
"""
_REF = "#/components/schemas/{name}"
_IMAGE = {"type": "string", "format": "binary"}


def answered(model: type[Reply | PipelineReply], description: str, *, location: str | None = None) -> dict[str, Any]:
    """Returns a successful response for a route's `responses`, with its example.

    Args:
        location: what its `Location` is, of a route that creates.
    """
    response: dict[str, Any] = {
        "description": description,
        "model": model,
        "content": {"application/json": {"example": model.EXAMPLE}},
    }
    if location:
        response["headers"] = {
            "Location": {"description": location, "schema": {"type": "string"}},
            "Idempotent-Replayed": {
                "description": "`true` on an answer given before to the same Idempotency-Key",
                "schema": {"type": "string"},
            },
        }
    return response


def binary(description: str, kinds: Iterable[str]) -> dict[str, Any]:
    """Returns a successful response of bytes of one of these media types, for a route's `responses`."""
    return {"description": description, "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}}


def _body(**content: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _json(model: type[Request], example: Any) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(name=model.__name__)}, "example": example}


def _multipart(properties: dict[str, Any], required: list[str], example: dict[str, Any]) -> dict[str, Any]:
    return {
        "example": example,
        "schema": {"type": "object", "properties": properties, "required": required, "additionalProperties": False},
        "encoding": {name: {"style": "form", "explode": True} for name in ("labels", "tasks") if name in properties},
    }


def _support_form(properties: dict[str, Any], example: dict[str, Any], *alone: str) -> dict[str, Any]:
    """Returns the form with images and labels, or with an archive, or at least with one of the fields that may come alone."""
    form = _multipart(properties, [], example)
    form["schema"] |= {
        "anyOf": [{"required": ["images"]}, {"required": ["archive"]}, *({"required": [field]} for field in alone)],
        "dependentRequired": {"images": ["labels"], "labels": ["images"]},
        "dependentSchemas": {"archive": {"properties": {"images": False}}},  # an archive stands instead of images
    }
    return form


_SUPPORT_FIELDS = {
    "images": {"type": "array", "minItems": 1, "items": _IMAGE, "description": "JPEG, PNG, WebP, HEIC or AVIF"},
    "labels": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "string"},
        "description": "one per image, in the same order; a JSON list where an image may have several",
    },
    "archive": {**_IMAGE, "description": "instead of images and labels: a zip with a folder per class"},
    "negatives": {"type": "array", "minItems": 1, "items": _IMAGE, "description": "images of none of the classes"},
}
_LABEL_MODE = {"enum": ["single", "multiple"], "description": "`multiple` if an image may have any number of labels"}
_TASK_FIELDS = {
    **_SUPPORT_FIELDS,
    "name": {"type": "string", "minLength": 1, "maxLength": 128},
    "options": {"type": "string", "contentMediaType": "application/json", "description": "TaskOptions, as JSON"},
    "capture": {"type": "string", "contentMediaType": "application/json", "description": "CaptureOptions, as JSON"},
    "label_mode": _LABEL_MODE,
    "classes": {
        "type": "string",
        "contentMediaType": "application/json",
        "description": "names of classes, which need no image where the backbone reads text: a list, as JSON",
    },
}
_EXAMPLES_FIELDS = {
    **_SUPPORT_FIELDS,
    "label_mode": {**_LABEL_MODE, "description": "as the task's; another one is refused"},
}
_FILES = {"images": ["(bytes of cat1.jpg)", "(bytes of dog1.jpg)"], "labels": ["cat", "dog"]}
_LABELLED = [{"label": "cat", "image": "iVBORw0KGgo…"}, {"label": "dog", "image": "iVBORw0KGgo…"}]

TASK_BODY = _body(
    **{
        "multipart/form-data": _support_form(_TASK_FIELDS, {"name": "pets", **_FILES}, "classes"),
        "application/json": _json(TaskBody, {"name": "pets", "examples": _LABELLED}),
    }
)
EXAMPLES_BODY = _body(
    **{
        "multipart/form-data": _support_form(_EXAMPLES_FIELDS, _FILES, "negatives"),
        "application/json": _json(ExamplesBody, {"examples": _LABELLED}),
    }
)
_CANDIDATES = [{"options": {"solver": "prototype"}}, {"backbone": "other@1", "options": {"C": 10}}]
COMPARE_BODY = {"requestBody": {"content": {"application/json": _json(CompareBody, {"candidates": _CANDIDATES})}}}
PATCH_BODY = _body(**{"application/json": _json(TaskPatch, {"active_version": 1})})
PATCH_BODY["requestBody"]["content"]["application/json"]["schema"]["minProperties"] = 1
EXAMPLE_PATCH_BODY = _body(**{"application/json": _json(ExamplePatch, {"label": "cat"})})
_DECISIONS = [{"captures": [PREDICTION_ID], "label": "cat"}, {"captures": [OTHER_PREDICTION_ID], "discard": True}]
RESOLVE_BODY = _body(**{"application/json": _json(ResolveBody, {"decisions": _DECISIONS})})
CORRECTION_BODY = _body(**{"application/json": _json(CorrectionBody, {"prediction": PREDICTION_ID, "label": "cat"})})
BACKBONE_BODY = _body(**{"application/json": _json(BackboneBody, {"id": "name@1"})})
BACKBONE_PATCH_BODY = _body(**{"application/json": _json(BackbonePatch, {"default": True})})
REFRESH_BODY = _body(**{"application/json": _json(RefreshBody, {"to": "name@2", "tasks": "all", "max_drop": 0.02})})
KEY_BODY = _body(**{"application/json": _json(KeyBody, {"scope": "predict", "task": TASK_ID, "expires_in": 7_776_000})})
ROTATE_BODY = {"requestBody": {"content": {"application/json": _json(RotateBody, {"expires_in": 3600})}}}
_RAW_BODIES = {kind: {"schema": _IMAGE, "example": "(bytes of the image)"} for kind in RAW_IMAGES}
_QUERY_FIELDS = {"images": {"type": "array", "minItems": 1, "items": _IMAGE}}
_QUERY_FILES = {"images": _FILES["images"]}
_MANY_FIELDS = {
    **_QUERY_FIELDS,
    "tasks": {
        "type": "array",
        "items": {"type": "string"},
        "description": "ids, several in one text separated by commas; or `all`; unless the query says it",
    },
}
PREDICT_BODY = _body(
    **{
        "multipart/form-data": _multipart(_QUERY_FIELDS, ["images"], _QUERY_FILES),
        "application/json": _json(PredictBody, {"images": ["iVBORw0KGgo…"]}),
        **_RAW_BODIES,
    }
)
PIPELINE_BODY = _body(
    **{
        "application/json": _json(PipelineBody, {"inputs": "iVBORw0KGgo…", "parameters": {"top_k": 3}}),
        **_RAW_BODIES,
    }
)
IMAGE_DATA_BODY = _body(
    **{
        "multipart/form-data": _multipart({"imageData": _IMAGE}, ["imageData"], {"imageData": "(bytes of cat1.jpg)"}),
        **_RAW_BODIES,
    }
)
PREDICT_MANY_BODY = _body(
    **{
        "multipart/form-data": _multipart(_MANY_FIELDS, ["images"], {**_QUERY_FILES, "tasks": [OTHER_TASK_ID, TASK_ID]}),
        "application/json": _json(PredictManyBody, {"images": ["iVBORw0KGgo…"], "tasks": [OTHER_TASK_ID, TASK_ID]}),
        **_RAW_BODIES,
    }
)


def openapi_document(routes: Sequence[APIRoute]) -> dict[str, Any]:
    """Returns the document of these routes, with the schemas that only request bodies and problems use."""
    document = get_openapi(title="Headstart", version=version("headstart-server"), description=_DESCRIPTION, routes=routes)
    bodies: tuple[type[Request], ...] = (
        TaskBody,
        ExamplesBody,
        TaskPatch,
        ExamplePatch,
        CompareBody,
        ResolveBody,
        CorrectionBody,
        PredictBody,
        PredictManyBody,
        PipelineBody,
        BackboneBody,
        BackbonePatch,
        RefreshBody,
        KeyBody,
        RotateBody,
    )
    _, schemas = schema_components(bodies, ref_template=_REF)
    _, problems = models_json_schema([(Problem, "serialization")], ref_template=_REF.format(name="{model}"))
    document["components"]["schemas"] |= schemas | problems["$defs"]
    _drop_fastapis_own_errors(document)
    _add_what_any_call_may_answer(document)
    return document


def _drop_fastapis_own_errors(document: dict[str, Any]) -> None:
    """Removes the 422 body that FastAPI documents for every parameter: those are answered as problems."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            response = operation["responses"].get("422", {})
            response.get("content", {}).pop("application/json", None)
            if response and not response["content"]:
                del operation["responses"]["422"]


def _add_what_any_call_may_answer(document: dict[str, Any]) -> None:
    """Adds what is refused before a route is looked for, or beside what a route answers under the same status."""
    anything = documented(MalformedRequest, OriginNotAllowed, HeaderTimeout, UrlTooLong, HostNotAllowed, HeadersTooLarge)
    keyed = documented(Unauthenticated, Forbidden, QuotaExceeded)
    keyed[401]["headers"] = {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}}}
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in [*anything.items(), *(keyed.items() if "security" in operation else ())]:
                there = operation["responses"].setdefault(str(status), deepcopy(response))
                there["content"][MEDIA_TYPE]["examples"].update(response["content"][MEDIA_TYPE]["examples"])
