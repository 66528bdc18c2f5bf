"""The common parts of request bodies and of response bodies, examples included."""

from typing import Annotated, Any, ClassVar

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field


class Request(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Unknown fields and values of another type are refused, at the first of them: nothing is read beyond it."""


class Reply(BaseModel):
    """Made by us alone.

    Attributes:
        EXAMPLE: as the reference shows it, of one that a route answers.
    """

    model_config = ConfigDict(frozen=True)

    EXAMPLE: ClassVar[Any]


FileName = Annotated[
    str | None, Field(description="what the image's file was called; null where its sender did not say, or no images are kept")
]

LabelList = Annotated[list[str] | None, Field(description="its labels, where an image may have several; else null")]

# What examples name.
TASK_ID, EXAMPLE_ID = "task_01kam0c7v3e9m2q8x5t4r6w1zy", "example_01kam0c7v3q2w8e5r7t9y4u6ia"
OTHER_TASK_ID = "task_01kam0h2s8b4d6f1g7j3k5n9pw"
PREDICTION_ID = "prediction_01kam0c7v3d5f7h9k2m4p6r8t0"
OTHER_PREDICTION_ID = "prediction_01kam0c8x4e6g8j0n2q4s6v8y1"
TIME = "2026-11-21T09:30:00Z"
EVENT_ID, NEXT_EVENT_ID = "event_17-3f9c2a1b", "event_18-80d4e6f7"
