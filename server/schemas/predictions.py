"""Predictions: response bodies."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from server.schemas.base import EXAMPLE_ID, OTHER_TASK_ID, TASK_ID, FileName, Reply


class ProblemInPlace(Reply):
    """The error of one of several, in the place of its answer."""

    code: str
    detail: str


class Prediction(Reply):
    """The prediction for one image."""

    label: str
    probability: float
    scores: dict[str, float] = Field(
        description="probability by label, the most probable first; `top_k` of them. Where an image may have several labels, "
        "each is independent of the others"
    )
    labels: list[str] | None = Field(
        default=None,
        description="there if an image may have several labels: those with a probability of at least ½, the most probable first",
    )
    set: list[str] | None = Field(
        default=None,
        description="there if `coverage` was asked for: the labels that hold the right one so often, the most probable first",
    )


class Neighbour(Reply):
    """An example of the task that an image resembles."""

    example: str
    label: str | None = Field(description="null where an image may have several labels")
    labels: list[str] | None = Field(default=None, description="there if an image may have several labels: all of them")
    similarity: float = Field(description="cosine of their features, to three decimals: 1 for the same pixels")
    image: str | None = Field(description="its address on this server; null if the server was told to keep no images")
    file_name: FileName


class JudgedPrediction(Prediction):
    """A prediction with a verdict on whether the image is of any of the task's classes at all."""

    known: bool = Field(
        description="false for a stranger, `none of these`: then `label` is only the likest of the classes. Where an image may "
        "have several labels: whether it has any"
    )
    novelty: float = Field(
        description="0 for what looks like the task's classes, 1 for a stranger; the verdict turns at ½. Where an image may have "
        "several labels: one less the highest probability"
    )
    nearest: list[Neighbour] = Field(description="the three examples it most resembles, the most similar first")


_PREDICTION_ID = Field(description="its id, for `…/corrections`")


class RememberedPrediction(Prediction):
    """A prediction that was stored, with `remember=true`."""

    prediction: str = _PREDICTION_ID


class RememberedJudgedPrediction(JudgedPrediction):
    """A prediction with a verdict that was stored, with `remember=true`."""

    prediction: str = _PREDICTION_ID


class FailedPrediction(Reply):
    """An image that could not be read; its neighbours are unaffected."""

    error: ProblemInPlace

    EXAMPLE: ClassVar[Any] = {
        "error": {"code": "image_broken", "detail": "the image is truncated or damaged and cannot be decoded"}
    }


class Coverage(Reply):
    """The promise of the prediction sets of an answer."""

    asked: float = Field(description="the share of images, as varied as the examples, whose set is to hold the right label")
    finest: float | None = Field(
        description="the highest coverage that the examples can support by themselves; null where they support none"
    )


class PredictReply(Reply):
    """Predictions in the order of the images."""

    task: str
    version: int
    backbone: str
    mode: Literal["inductive", "transductive"] = Field(
        description="how the images were judged: `inductive`, each alone, also where `transductive` would not help"
    )
    coverage: Coverage | None = Field(default=None, description="there if it was asked for")
    predictions: list[RememberedJudgedPrediction | RememberedPrediction | JudgedPrediction | Prediction | FailedPrediction] = (
        Field(description="without `known`, `novelty` and `nearest` if `unknown=ignore` was asked for")
    )
    timing_ms: dict[str, float] = Field(description="decode, embed, head, total")

    EXAMPLE: ClassVar[Any] = {
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
                        "example": EXAMPLE_ID,
                        "label": "cat",
                        "similarity": 0.713,
                        "image": f"/v1/tasks/{TASK_ID}/examples/{EXAMPLE_ID}/image",
                        "file_name": "cat3.jpg",
                    }
                ],
            },
            FailedPrediction.EXAMPLE,
        ],
        "timing_ms": {"decode": 0.6, "embed": 4.1, "head": 0.1, "total": 4.9},
    }


class TaskPredictions(Reply):
    """The predictions of one of several tasks, in the order of the images."""

    task: str
    version: int
    backbone: str
    predictions: list[JudgedPrediction | Prediction | FailedPrediction] = Field(
        description="with `known`, `novelty` and `nearest` if `unknown=judge` was asked for"
    )


class FailedTask(Reply):
    """A task that cannot be asked now; the others are unaffected."""

    task: str
    version: int
    backbone: str
    error: ProblemInPlace


class PredictManyReply(Reply):
    """Results in the order of the tasks; of all tasks, the newest first."""

    results: list[TaskPredictions | FailedTask]
    timing_ms: dict[str, float] = Field(description="decode, embed, head, total")

    EXAMPLE: ClassVar[Any] = {
        "results": [
            {
                "task": OTHER_TASK_ID,
                "version": 2,
                "backbone": "name@1",
                "predictions": [
                    {"label": "outdoors", "probability": 0.88, "scores": {"outdoors": 0.88}},
                    FailedPrediction.EXAMPLE,
                ],
            },
            {
                "task": TASK_ID,
                "version": 1,
                "backbone": "name@1",
                "predictions": [{"label": "cat", "probability": 0.93, "scores": {"cat": 0.93}}, FailedPrediction.EXAMPLE],
            },
        ],
        "timing_ms": {"decode": 0.6, "embed": 4.1, "head": 0.4, "total": 5.2},
    }
