"""From the store's records to the bodies of replies."""

from dataclasses import asdict
from typing import Any

from models.labels import Label
from models.manifest import HeadOptions
from server.schemas.quality import Quality
from server.schemas.replies import (
    CaptureSettingReply,
    ChangedTaskReply,
    ClassReply,
    ExampleReply,
    HeadReply,
    TaskReply,
    VersionReply,
)
from server.store.records import ClassCount, ExampleInfo, Task, Version


def task_reply(task: Task) -> TaskReply:
    """Returns a task in its active version."""
    version = task.version
    return TaskReply(
        id=task.id,
        name=task.name,
        version=version.number,
        backbone=version.backbone.bundle,
        classes=_classes(version.classes),
        negatives=version.negatives,
        labels=task.labels,
        head=head_reply(version.options),
        name_weight=version.options.name_weight,
        capture=CaptureSettingReply(**asdict(task.capture)),
        created_at=task.created_at,
        updated_at=task.updated_at,
    )


def changed_task_reply(task: Task, quality: Quality | None, timing_ms: dict[str, float]) -> ChangedTaskReply:
    """Returns a task after a change, with how good it is now and what each stage took."""
    return ChangedTaskReply(**dict(task_reply(task)), quality=quality, timing_ms=timing_ms)


def version_reply(version: Version) -> VersionReply:
    """One entry of a task's history."""
    return VersionReply(
        version=version.number,
        active=version.active,
        change=version.change,
        backbone=version.backbone.bundle,
        classes=_classes(version.classes),
        negatives=version.negatives,
        head=head_reply(version.options),
        name_weight=version.options.name_weight,
        accuracy=version.accuracy and version.accuracy.share,
        interval=version.accuracy and (version.accuracy.low, version.accuracy.high),
        created_at=version.created_at,
    )


def example_reply(example: ExampleInfo) -> ExampleReply:
    """Returns an example without its image."""
    return ExampleReply(
        id=example.id,
        **label_fields(example.label),
        media_type=example.media_type,
        bytes=example.size,
        image_kept=example.sha256 is not None,
        sha256=example.sha256,
        created_at=example.created_at,
        file_name=example.file_name,
    )


def label_fields(label: Label | None) -> dict[str, Any]:
    """Returns the fields of a reply that say the label of an image, of a task of either kind."""
    if isinstance(label, tuple):
        return {"label": None, "labels": list(label)}
    return {"label": label, "labels": None}


def _classes(classes: tuple[ClassCount, ...]) -> list[ClassReply]:
    return [ClassReply(label=count.label, examples=count.examples) for count in classes]


def head_reply(options: HeadOptions) -> HeadReply:
    """Returns the options of a head."""
    return HeadReply(**{name: getattr(options, name) for name in HeadReply.model_fields})
