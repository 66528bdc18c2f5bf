"""An example of every reply, as the reference shows it."""

from typing import Any

from pydantic import BaseModel

from server.schemas.comparison import ComparisonReply
from server.schemas.quality import QualityReply
from server.schemas.refreshes import RefreshPage, RefreshReply, RefreshTaskPage
from server.schemas.replies import (
    BackboneList,
    BackboneReply,
    ChangedTaskReply,
    ExamplePage,
    Health,
    Limits,
    PredictManyReply,
    PredictReply,
    TaskPage,
    TaskReply,
    VersionPage,
)

TASK_ID, _EXAMPLE_ID = "task_01kam0c7v3e9m2q8x5t4r6w1zy", "example_01kam0c7v3q2w8e5r7t9y4u6ia"
OTHER_TASK_ID = "task_01kam0h2s8b4d6f1g7j3k5n9pw"
_BROKEN = {"error": {"code": "image_broken", "detail": "the image is truncated or damaged and cannot be decoded"}}
_TIME = "2026-11-21T09:30:00Z"
_CLASSES = [{"label": "cat", "examples": 5}, {"label": "dog", "examples": 5}]
_HEAD = {"solver": "logistic", "C": 3.0, "temperature": 0.33, "centre": False}
_TASK = {
    "id": TASK_ID,
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
        "task": TASK_ID,
        "outcome": "moved",
        "images": 10,
        "backbone_before": "name@1",
        "versions": {"before": 1, "after": 2, "returned": None},
        "accuracy": {"judged_by": "leave-one-out", "judged": 10, "before": 0.8, "after": 0.9},
        "reason": None,
    },
    {
        "task": OTHER_TASK_ID,
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
    "suspects": [{"example": _EXAMPLE_ID, "label": "cat", "suggested": "dog", "confidence": 0.91, "file_name": "cat3.jpg"}],
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

REPLIES: dict[type[BaseModel], Any] = {
    TaskReply: _TASK,
    ChangedTaskReply: {**_TASK, "quality": _QUALITY, "timing_ms": _TIMING},
    QualityReply: {"task": TASK_ID, "version": 1, **_QUALITY},
    ComparisonReply: {
        "task": TASK_ID,
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
                "file_name": "cat3.jpg",
            }
        ],
        "next_cursor": None,
    },
    PredictReply: {
        "task": TASK_ID,
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
                        "image": f"/v1/tasks/{TASK_ID}/examples/{_EXAMPLE_ID}/image",
                        "file_name": "cat3.jpg",
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
                "task": OTHER_TASK_ID,
                "version": 2,
                "backbone": "name@1",
                "predictions": [{"label": "outdoors", "probability": 0.88, "scores": {"outdoors": 0.88}}, _BROKEN],
            },
            {
                "task": TASK_ID,
                "version": 1,
                "backbone": "name@1",
                "predictions": [{"label": "cat", "probability": 0.93, "scores": {"cat": 0.93}}, _BROKEN],
            },
        ],
        "timing_ms": {"decode": 0.6, "embed": 4.1, "head": 0.4, "total": 5.2},
    },
    Health: {"status": "ready", "checks": {"engine": "ok", "store": "ok", "bundles": "ok"}},
    Limits: {
        "body_bytes": 64_000_000,
        "image_bytes": 30_000_000,
        "image_pixels": 25_000_000,
        "images": 256,
        "new_examples": 1024,
        "classes": 1000,
        "examples": 20_000,
    },
    BackboneReply: _BACKBONE,
    BackboneList: {"backbones": [_BACKBONE]},
    RefreshReply: _REFRESH,
    RefreshPage: {"refreshes": [_REFRESH], "next_cursor": None},
    RefreshTaskPage: {"tasks": _REFRESH_TASKS, "next_cursor": None},
}
