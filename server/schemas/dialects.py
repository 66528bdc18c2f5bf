"""The bodies of predictions for clients of other services."""

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from msgspec import Meta
from pydantic import Field, RootModel

from server.schemas.base import Reply, Request

_LEAST_ONE = Annotated[int, Meta(ge=1)]


class PipelineParameters(Request, frozen=True):
    """The parameters of Hugging Face's `image-classification` that this server knows."""

    top_k: Annotated[_LEAST_ONE | None, Meta(description="labels to score, the most probable first; all by default")] = None


class PipelineBody(Request, frozen=True):
    """`POST /v1/tasks/{task}/hf` as JSON, as Hugging Face's clients write it where they have parameters."""

    inputs: Annotated[str, Meta(description="JPEG, PNG, WebP, HEIC or AVIF, base64")]
    parameters: PipelineParameters = PipelineParameters()


class LabelScore(Reply):
    """A label and its probability, as Hugging Face's `image-classification` answers them."""

    label: str
    score: float


class PipelineReply(RootModel[list[LabelScore]]):
    """Labels with their probabilities, the most probable first."""

    EXAMPLE: ClassVar[Any] = [{"label": "cat", "score": 0.93}, {"label": "dog", "score": 0.07}]


class TagPrediction(Reply):
    """A label and its probability, as Custom Vision answers them."""

    probability: float
    tagId: UUID = Field(description="the same for a label of a task in all of its versions")
    tagName: str = Field(description="the label")


class ImagePrediction(Reply):
    """A prediction as Custom Vision answers it."""

    id: UUID = Field(description="of this answer alone")
    project: UUID = Field(description="the task's id, in the form of a UUID")
    iteration: UUID = Field(description="stands for the version that answered")
    created: datetime
    predictions: list[TagPrediction] = Field(description="the most probable first")

    EXAMPLE: ClassVar[Any] = {
        "id": "5f2c1c04-6f0e-4a44-9d62-5b8a6a3f4f0c",
        "project": "019aa806-1f63-7268-2ba3-a5d1306e07fe",
        "iteration": "c6a9a0d6-3b1e-5b0e-8f61-3a7c4c4f0b52",
        "created": "2026-11-21T09:30:00.123456Z",
        "predictions": [
            {"probability": 0.93, "tagId": "0f9d6c7e-7d0a-5d0e-9a55-2f1f6f3f5d11", "tagName": "cat"},
            {"probability": 0.07, "tagId": "b1f0e6a2-4c3b-5f7d-8e21-6a9d0c5b7e33", "tagName": "dog"},
        ],
    }
