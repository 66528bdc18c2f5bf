"""What FastAPI cannot see for itself: bodies in several forms, and an example for each call."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from server.schemas.comparison import ComparisonReply
from server.schemas.quality import QualityReply
from server.schemas.refreshes import RefreshBody, RefreshPage, RefreshReply, RefreshTaskPage
from server.schemas.replies import (
    BackboneList,
    BackboneReply,
    ChangedTaskReply,
    ExamplePage,
    Health,
    PredictManyReply,
    PredictReply,
    Problem,
    TaskPage,
    TaskReply,
    VersionPage,
)
from server.schemas.requests import (
    BackboneBody,
    BackbonePatch,
    CompareBody,
    ExamplesBody,
    PredictBody,
    PredictManyBody,
    TaskBody,
    TaskPatch,
)

_REF = "#/components/schemas/{model}"
_IMAGE = {"type": "string", "format": "binary"}
_ID, _EXAMPLE_ID = "task_01kam0c7v3e9m2q8x5t4r6w1zy", "example_01kam0c7v3q2w8e5r7t9y4u6ia"
_OTHER_ID = "task_01kam0h2s8b4d6f1g7j3k5n9pw"
_BROKEN = {"error": {"code": "image_broken", "detail": "the image is truncated or damaged and cannot be decoded"}}
_TIME = "2026-11-21T09:30:00Z"
_CLASSES = [{"label": "cat", "examples": 5}, {"label": "dog", "examples": 5}]
_HEAD = {"solver": "logistic", "C": 3.0, "temperature": 0.33, "centre": False}
_TASK = {
    "id": _ID,
    "name": "pets",
    "version": 1,
    "backbone": "name@1",
    "classes": _CLASSES,
    "head": _HEAD,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_BACKBONE = {
    "id": "name@1",
    "default": True,
    "open": True,
    "engines": ["onnx-int8"],
    "active_tasks": 12,
    "embedding_dim": 512,
    "input": {"height": 32, "width": 32, "resize": "cover", "interpolation": "bicubic", "colour": "rgb"},
    "architecture": "resnet12",
    "dataset": "CIFAR-FS",
    "evaluations": [],
}
_REFRESH_ID = "refresh_01kam1d5x7c9v2b4n6m8q0w3er"
_REFRESH = {
    "id": _REFRESH_ID,
    "to": "name@2",
    "max_drop": 0.02,
    "state": "running",
    "reason": None,
    "tasks": {"waiting": 120, "moved": 371, "kept": 7, "gone": 1, "failed": 1},
    "images": {"done": 9480, "total": 12480},
    "images_per_second": 212.4,
    "seconds_left": 14.1,
    "accuracy": {"tasks": 378, "before": 0.861, "after": 0.912},
    "created_at": _TIME,
    "updated_at": _TIME,
}
_REFRESH_TASKS = [
    {
        "task": _ID,
        "outcome": "moved",
        "images": 10,
        "backbone_before": "name@1",
        "versions": {"before": 1, "after": 2, "returned": None},
        "accuracy": {"judged_by": "leave-one-out", "judged": 10, "before": 0.8, "after": 0.9},
        "reason": None,
    },
    {
        "task": _OTHER_ID,
        "outcome": "kept",
        "images": 20,
        "backbone_before": "name@1",
        "versions": {"before": 3, "after": None, "returned": None},
        "accuracy": {"judged_by": "leave-one-out", "judged": 20, "before": 0.95, "after": 0.9},
        "reason": {"code": "accuracy_fell", "detail": "accuracy would fall from 0.950 to 0.900, by more than 0.02"},
    },
]
_TIMING = {"decode": 1.2, "embed": 14.5, "fit": 1.1, "store": 2.3, "total": 19.4}
_QUALITY = {
    "method": "leave-one-out",
    "judged": 10,
    "accuracy": 0.8,
    "interval": [0.49, 0.943],
    "classes": [
        {"label": "cat", "examples": 5, "judged": 5, "recognised": 3, "accuracy": 0.6, "interval": [0.231, 0.882]},
        {"label": "dog", "examples": 5, "judged": 5, "recognised": 5, "accuracy": 1.0, "interval": [0.566, 1.0]},
    ],
    "confusions": [{"label": "cat", "recognised_as": "dog", "examples": 2}],
    "prior": None,
    "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 "
    "of others for it.",
    "suspects": [{"example": _EXAMPLE_ID, "label": "cat", "suggested": "dog", "confidence": 0.91}],
    "duplicates": [],
}
_COMPARED = {
    "current": True,
    "backbone": "name@1",
    "head": _HEAD,
    "method": "leave-one-out",
    "judged": 10,
    "recognised": 8,
    "accuracy": 0.8,
    "interval": [0.49, 0.943],
    "log_loss": 0.61,
    "difference": None,
    "milliseconds": 1.7,
}
_NO_BACKBONE = {"code": "backbone_not_found", "detail": "there is no backbone 'other@1' on this server"}

_REPLIES: dict[type[BaseModel], Any] = {
    TaskReply: _TASK,
    ChangedTaskReply: {**_TASK, "quality": _QUALITY, "timing_ms": _TIMING},
    QualityReply: {"task": _ID, "version": 1, **_QUALITY},
    ComparisonReply: {
        "task": _ID,
        "version": 1,
        "candidates": [
            _COMPARED,
            {
                **_COMPARED,
                "current": False,
                "head": {"solver": "prototype", "C": 1.0, "temperature": 0.08, "centre": True},
                "recognised": 9,
                "accuracy": 0.9,
                "interval": [0.596, 0.982],
                "log_loss": 0.42,
                "difference": {
                    "accuracy": 0.1,
                    "interval": [-0.202, 0.4],
                    "gained": 1,
                    "lost": 0,
                    "log_loss": -0.19,
                    "log_loss_interval": [-0.41, 0.03],
                },
                "milliseconds": 0.3,
            },
            {"backbone": "other@1", "error": _NO_BACKBONE},
        ],
        "best": 1,
        "advice": "Candidate 1 (prototype, C = 1, name@1) recognised 9 of 10 examples, 1 more than the active version, which may "
        "be chance: more examples would tell.",
        "timing_ms": {"fit": 2.1, "embed": 0.4, "total": 3.6},
    },
    TaskPage: {"tasks": [_TASK], "next_cursor": None},
    VersionPage: {
        "versions": [
            {
                "version": 1,
                "active": True,
                "change": "created",
                "backbone": "name@1",
                "classes": _CLASSES,
                "head": _HEAD,
                "created_at": _TIME,
            }
        ]
    },
    ExamplePage: {
        "examples": [
            {
                "id": _EXAMPLE_ID,
                "label": "cat",
                "media_type": "image/jpeg",
                "bytes": 48213,
                "image_kept": True,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "created_at": _TIME,
            }
        ],
        "next_cursor": None,
    },
    PredictReply: {
        "task": _ID,
        "version": 1,
        "backbone": "name@1",
        "predictions": [
            {
                "label": "cat",
                "probability": 0.93,
                "scores": {"cat": 0.93, "dog": 0.07},
                "known": True,
                "novelty": 0.0831,
                "nearest": [
                    {
                        "example": _EXAMPLE_ID,
                        "label": "cat",
                        "similarity": 0.713,
                        "image": f"/v1/tasks/{_ID}/examples/{_EXAMPLE_ID}/image",
                    }
                ],
            },
            _BROKEN,
        ],
        "timing_ms": {"decode": 0.6, "embed": 4.1, "head": 0.1, "total": 4.9},
    },
    PredictManyReply: {
        "results": [
            {
                "task": _OTHER_ID,
                "version": 2,
                "backbone": "name@1",
                "predictions": [{"label": "outdoors", "probability": 0.88, "scores": {"outdoors": 0.88}}, _BROKEN],
            },
            {
                "task": _ID,
                "version": 1,
                "backbone": "name@1",
                "predictions": [{"label": "cat", "probability": 0.93, "scores": {"cat": 0.93}}, _BROKEN],
            },
        ],
        "timing_ms": {"decode": 0.6, "embed": 4.1, "head": 0.4, "total": 5.2},
    },
    Health: {"status": "ready", "checks": {"engine": "ok", "store": "ok"}},
    BackboneReply: _BACKBONE,
    BackboneList: {"backbones": [_BACKBONE]},
    RefreshReply: _REFRESH,
    RefreshPage: {"refreshes": [_REFRESH], "next_cursor": None},
    RefreshTaskPage: {"tasks": _REFRESH_TASKS, "next_cursor": None},
}


def answered(model: type[BaseModel], description: str, *, location: str | None = None) -> dict[str, Any]:
    """A successful response for a route's `responses`, with its example.

    Args:
        location: what its `Location` is, of a route that creates.
    """
    response: dict[str, Any] = {
        "description": description,
        "model": model,
        "content": {"application/json": {"example": _REPLIES[model]}},
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


def _body(**content: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _json(model: type[BaseModel], example: Any) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}, "example": example}


def _multipart(properties: dict[str, Any], required: list[str], example: dict[str, Any]) -> dict[str, Any]:
    return {
        "example": example,
        "schema": {"type": "object", "properties": properties, "required": required, "additionalProperties": False},
        "encoding": {name: {"style": "form", "explode": True} for name in ("labels", "tasks") if name in properties},
    }


_SUPPORT_FIELDS = {
    "images": {"type": "array", "items": _IMAGE, "description": "JPEG, PNG or WebP"},
    "labels": {"type": "array", "items": {"type": "string"}, "description": "one per image, in the same order"},
    "archive": {**_IMAGE, "description": "instead of images and labels: a zip with a folder per class"},
}
_TASK_FIELDS = {
    **_SUPPORT_FIELDS,
    "name": {"type": "string", "maxLength": 128},
    "options": {"type": "string", "contentMediaType": "application/json", "description": "TaskOptions, as JSON"},
}
_FILES = {"images": ["(bytes of cat1.jpg)", "(bytes of dog1.jpg)"], "labels": ["cat", "dog"]}
_LABELLED = [{"label": "cat", "image": "iVBORw0KGgo…"}, {"label": "dog", "image": "iVBORw0KGgo…"}]

TASK_BODY = _body(
    **{
        "multipart/form-data": _multipart(_TASK_FIELDS, [], {"name": "pets", **_FILES}),
        "application/json": _json(TaskBody, {"name": "pets", "examples": _LABELLED}),
    }
)
EXAMPLES_BODY = _body(
    **{
        "multipart/form-data": _multipart(_SUPPORT_FIELDS, [], _FILES),
        "application/json": _json(ExamplesBody, {"examples": _LABELLED}),
    }
)
_CANDIDATES = [{"options": {"solver": "prototype"}}, {"backbone": "other@1", "options": {"C": 10}}]
COMPARE_BODY = {"requestBody": {"content": {"application/json": _json(CompareBody, {"candidates": _CANDIDATES})}}}
PATCH_BODY = _body(**{"application/json": _json(TaskPatch, {"active_version": 1})})
BACKBONE_BODY = _body(**{"application/json": _json(BackboneBody, {"id": "name@1"})})
BACKBONE_PATCH_BODY = _body(**{"application/json": _json(BackbonePatch, {"default": True})})
REFRESH_BODY = _body(**{"application/json": _json(RefreshBody, {"to": "name@2", "tasks": "all", "max_drop": 0.02})})
_RAW_BODIES = {kind: {"schema": _IMAGE, "example": "(bytes of the image)"} for kind in ("image/jpeg", "image/png", "image/webp")}
_QUERY_FIELDS = {"images": {"type": "array", "items": _IMAGE}}
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
PREDICT_MANY_BODY = _body(
    **{
        "multipart/form-data": _multipart(_MANY_FIELDS, ["images"], {**_QUERY_FILES, "tasks": [_OTHER_ID, _ID]}),
        "application/json": _json(PredictManyBody, {"images": ["iVBORw0KGgo…"], "tasks": [_OTHER_ID, _ID]}),
        **_RAW_BODIES,
    }
)


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, made once, with the schemas that only request bodies and problems use."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        bodies = (
            TaskBody,
            ExamplesBody,
            TaskPatch,
            CompareBody,
            PredictBody,
            PredictManyBody,
            BackboneBody,
            BackbonePatch,
            RefreshBody,
            Problem,
        )
        extra = [(model, "validation") for model in bodies]
        _, schemas = models_json_schema(extra, ref_template=_REF)  # type: ignore[arg-type]
        document["components"]["schemas"] |= schemas["$defs"]
        _drop_fastapis_own_errors(document)
        app.openapi_schema = document
    return app.openapi_schema


def _drop_fastapis_own_errors(document: dict[str, Any]) -> None:
    """Removes the 422 body that FastAPI documents for every parameter: `server.app` answers those as problems."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            response = operation["responses"].get("422", {})
            response.get("content", {}).pop("application/json", None)
            if response and not response["content"]:
                del operation["responses"]["422"]
