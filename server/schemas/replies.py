"""Response bodies."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field

from models.engine import EngineKind
from models.manifest import Evaluation, InputSpec, Solver
from server.schemas.base import EXAMPLE_ID, TASK_ID, TIME, FileName, LabelList, Reply
from server.schemas.predictions import ProblemInPlace
from server.schemas.quality import Interval, Quality
from server.store.records import Keep, LabelMode

_CLASSES = [{"label": "cat", "examples": 5}, {"label": "dog", "examples": 5}]


class ClassReply(Reply):
    label: str
    examples: int = Field(description="support images of this class; 0 of one that has a name alone")


class HeadReply(Reply):
    solver: Solver
    C: float
    temperature: float
    centre: bool

    EXAMPLE: ClassVar[Any] = {"solver": "logistic", "C": 3.0, "temperature": 0.33, "centre": False}


NameWeight = Annotated[
    float | None,
    Field(
        description="of the class names beside the images, chosen by leave-one-out: 0, ⅛, ¼, ½ or 1; 0 unless the gain is more "
        "than chance explains. 1 while a class has no image, and the names alone answer. null where the backbone cannot read, "
        "above 2,000 examples or 256 classes, and where an image may have several labels"
    ),
]


class CaptureSettingReply(Reply):
    """The predictions of a task that are captured for review."""

    keep: Keep
    limit: int = Field(description="most captures of the task; the oldest leaves first")
    days: int = Field(description="age at which a capture leaves")
    notify: int | None = Field(description="number of captures at which an event tells that they wait; null for never")

    EXAMPLE: ClassVar[Any] = {"keep": "none", "limit": 1000, "days": 30, "notify": None}


class TaskReply(Reply):
    """A task in its active version."""

    id: str
    name: str
    version: int = Field(description="the active version")
    backbone: str = Field(description="name@version of the bundle that embeds this task's images")
    classes: list[ClassReply]
    negatives: int = Field(description="images of none of the classes, by which strangers are told")
    labels: LabelMode = Field(description="of an image: `single` for one, `multiple` for any number")
    head: HeadReply
    name_weight: NameWeight
    capture: CaptureSettingReply
    created_at: datetime
    updated_at: datetime

    EXAMPLE: ClassVar[Any] = {
        "id": TASK_ID,
        "name": "pets",
        "version": 1,
        "backbone": "name@1",
        "classes": _CLASSES,
        "negatives": 0,
        "labels": "single",
        "head": HeadReply.EXAMPLE,
        "name_weight": None,
        "capture": CaptureSettingReply.EXAMPLE,
        "created_at": TIME,
        "updated_at": TIME,
    }


class ChangedTaskReply(TaskReply):
    """A task after a change of its support set, with the milliseconds each stage took."""

    quality: Quality | None = Field(description="null above 100 examples: ask for it with `GET …/quality`")
    timing_ms: dict[str, float] = Field(description="decode, embed, fit, store, total")

    EXAMPLE: ClassVar[Any] = {
        **TaskReply.EXAMPLE,
        "quality": Quality.EXAMPLE,
        "timing_ms": {"decode": 1.2, "embed": 14.5, "fit": 1.1, "store": 2.3, "total": 19.4},
    }


class TaskPage(Reply):
    """Newest first."""

    tasks: list[TaskReply]
    next_cursor: str | None = Field(description="pass as `cursor` for the next page; null on the last")

    EXAMPLE: ClassVar[Any] = {"tasks": [TaskReply.EXAMPLE], "next_cursor": None}


class ExampleReply(Reply):
    id: str
    label: str | None = Field(description="null if it is of none of the classes, or where an image may have several labels")
    labels: LabelList
    media_type: str
    bytes: int
    image_kept: bool = Field(description="whether the image can be had back; false if the server was told to keep none")
    sha256: str | None = Field(description="of the image's bytes as they were sent; null if the image was not kept")
    created_at: datetime
    file_name: FileName


class ExamplePage(Reply):
    """The support set of the active version, oldest first."""

    examples: list[ExampleReply]
    next_cursor: str | None = Field(description="pass as `cursor` for the next page; null on the last")

    EXAMPLE: ClassVar[Any] = {
        "examples": [
            {
                "id": EXAMPLE_ID,
                "label": "cat",
                "labels": None,
                "media_type": "image/jpeg",
                "bytes": 48213,
                "image_kept": True,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "created_at": TIME,
                "file_name": "cat3.jpg",
            }
        ],
        "next_cursor": None,
    }


class VersionReply(Reply):
    """One immutable version of a task."""

    version: int
    active: bool
    change: str = Field(description="what made it: `created`, `added`, `removed`, `relabelled` or `refreshed`")
    backbone: str
    classes: list[ClassReply]
    negatives: int = Field(description="images of none of the classes")
    head: HeadReply
    name_weight: NameWeight
    accuracy: float | None = Field(
        description="by leave-one-out when the version was made; null if that was not done, or no example could be judged"
    )
    interval: Interval
    created_at: datetime


class VersionPage(Reply):
    """Newest first."""

    versions: list[VersionReply]

    EXAMPLE: ClassVar[Any] = {
        "versions": [
            {
                "version": 1,
                "active": True,
                "change": "created",
                "backbone": "name@1",
                "classes": _CLASSES,
                "negatives": 0,
                "head": HeadReply.EXAMPLE,
                "name_weight": None,
                "accuracy": 0.8,
                "interval": [0.49, 0.943],
                "created_at": TIME,
            }
        ]
    }


class BackboneReply(Reply):
    id: str
    default: bool = Field(description="new tasks get this one")
    missing: bool = Field(description="it is needed and not in the server's folders, so that the fields from there are null")
    open: bool = Field(description="loaded and warm; a task opens its bundle when it is asked for")
    engines: list[EngineKind] = Field(description="what runs it while it is open; several, where tasks use several of its files")
    active_tasks: int = Field(description="tasks whose active version uses it")
    unserved_tasks: int = Field(description="those of them that are refused, since the file they use is missing or damaged")
    embedding_dim: int | None
    input: InputSpec | None
    architecture: str | None
    dataset: str | None
    evaluations: list[Evaluation]

    EXAMPLE: ClassVar[Any] = {
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


class BackboneList(Reply):
    default: str = Field(description="name@version of the one that new tasks get")
    backbones: list[BackboneReply]

    EXAMPLE: ClassVar[Any] = {"backbones": [BackboneReply.EXAMPLE]}


class ProblemImage(ProblemInPlace):
    """An image that spoils the request."""

    position: int = Field(description="which of the images sent, from 0; of an archive, in the order of its paths")
    file_name: str | None = Field(None, description="what its file is called, where the request says so")


class Problem(Reply):
    """RFC 9457 `application/problem+json`."""

    type: str = Field("about:blank", description="always `about:blank`: `code` tells the kinds apart")
    title: str
    status: int
    code: str = Field(description="stable; see the table of errors")
    detail: str
    error: str | None = Field(None, description="`detail` once more, where Hugging Face's clients read it; for them alone")
    message: str | None = Field(None, description="`detail` once more, where Custom Vision's clients read it; for them alone")
    request_id: str
    images: list[ProblemImage] | None = Field(
        None, description="the examples that cannot be read, in their order; only where that is what is wrong"
    )


class Health(Reply):
    status: str = Field(
        description="`ok`; of `/readyz` `ready`, `degraded` where some tasks lack their bundle, `unavailable`, `stopping`"
    )
    checks: dict[str, str] = Field(default_factory=dict)

    EXAMPLE: ClassVar[Any] = {"status": "ready", "checks": {"engine": "ok", "store": "ok", "bundles": "ok"}}
