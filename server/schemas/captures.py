"""Captured predictions: response bodies."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from server.schemas.base import EXAMPLE_ID, PREDICTION_ID, TASK_ID, TIME, LabelList, Reply
from server.schemas.predictions import Neighbour


class AnsweredReply(Reply):
    """The answer that a captured prediction had."""

    version: int = Field(description="the one that answered")
    label: str
    labels: LabelList = None
    probability: float
    known: bool | None = Field(description="null where the request had `unknown=ignore`")
    novelty: float | None = Field(description="null where the request had `unknown=ignore`")


class CaptureReply(Reply):
    """A captured prediction, with what the active version would answer now."""

    id: str
    created_at: datetime
    image: str | None = Field(description="its address on this server; null if the server was told to keep no images")
    label: str = Field(description="suggested by the active version; the most probable where an image may have several")
    labels: LabelList = None
    probability: float
    known: bool
    novelty: float
    nearest: list[Neighbour] = Field(description="the three examples it most resembles, the most similar first")
    answered: AnsweredReply = Field(description="what was answered then")
    alike: list[str] = Field(description="ids of the captures that look like it; one decision may serve all of them")


class CapturePage(Reply):
    """Captures that wait for a decision. Look-alikes are one entry, led by the first of them in the order asked for."""

    task: str
    version: int = Field(description="the active version, which suggests")
    captures: list[CaptureReply]
    total: int = Field(description="captures of the task")
    duplicates: int = Field(description="of those, left out as nearly the same image as an example")
    other_backbone: int = Field(description="of those, left out since another backbone embedded them")
    next_cursor: str | None = Field(description="pass as `after` for the next page; null on the last")

    EXAMPLE: ClassVar[Any] = {
        "task": TASK_ID,
        "version": 2,
        "captures": [
            {
                "id": PREDICTION_ID,
                "created_at": TIME,
                "image": f"/v1/tasks/{TASK_ID}/captures/{PREDICTION_ID}/image",
                "label": "cat",
                "probability": 0.52,
                "known": True,
                "novelty": 0.3127,
                "nearest": [
                    {
                        "example": EXAMPLE_ID,
                        "label": "cat",
                        "similarity": 0.713,
                        "image": f"/v1/tasks/{TASK_ID}/examples/{EXAMPLE_ID}/image",
                        "file_name": "cat3.jpg",
                    }
                ],
                "answered": {"version": 1, "label": "dog", "probability": 0.47, "known": True, "novelty": 0.3391},
                "alike": [],
            }
        ],
        "total": 41,
        "duplicates": 3,
        "other_backbone": 0,
        "next_cursor": None,
    }
