"""Response bodies."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from models.engine import EngineKind
from models.manifest import Evaluation, InputSpec, Solver
from server.schemas.base import FileName, Reply
from server.schemas.quality import Quality


class ClassReply(Reply):
    label: str
    examples: int = Field(description="support images of this class")


class HeadReply(Reply):
    solver: Solver
    C: float
    temperature: float
    centre: bool


class TaskReply(Reply):
    """A task in its active version."""

    id: str
    name: str
    version: int = Field(description="the active version")
    backbone: str = Field(description="name@version of the bundle that embeds this task's images")
    classes: list[ClassReply]
    head: HeadReply
    created_at: datetime
    updated_at: datetime


class ChangedTaskReply(TaskReply):
    """A task after a change of its support set, with the milliseconds each stage took."""

    quality: Quality | None = Field(description="null above 100 examples: ask for it with `GET …/quality`")
    timing_ms: dict[str, float] = Field(description="decode, embed, fit, store, total")


class TaskPage(Reply):
    """Newest first."""

    tasks: list[TaskReply]
    next_cursor: str | None = Field(description="pass as `cursor` for the next page; null on the last")


class ExampleReply(Reply):
    id: str
    label: str
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


class VersionReply(Reply):
    """One immutable version of a task."""

    version: int
    active: bool
    change: str = Field(description="what made it: `created`, `added`, `removed`, `relabelled` or `refreshed`")
    backbone: str
    classes: list[ClassReply]
    head: HeadReply
    created_at: datetime


class VersionPage(Reply):
    """Newest first."""

    versions: list[VersionReply]


class ProblemInPlace(Reply):
    """What went wrong with one of several, in the place of its answer."""

    code: str
    detail: str


class Prediction(Reply):
    """What one image was recognised as."""

    label: str
    probability: float
    scores: dict[str, float] = Field(description="probability by label, the most probable first; `top_k` of them")


class Neighbour(Reply):
    """An example of the task that an image resembles."""

    example: str
    label: str
    similarity: float = Field(description="cosine of their features, to three decimals: 1 for the same pixels")
    image: str | None = Field(description="its address on this server; null if the server was told to keep no images")
    file_name: FileName


class JudgedPrediction(Prediction):
    """A prediction with a verdict on whether the image is of any of the task's classes at all."""

    known: bool = Field(description="false for a stranger, `none of these`: then `label` is only the likest of the classes")
    novelty: float = Field(description="0 for what looks like the task's classes, 1 for a stranger; the verdict turns at ½")
    nearest: list[Neighbour] = Field(description="the three examples it most resembles, the most similar first")


class FailedPrediction(Reply):
    """An image that could not be read; its neighbours are unaffected."""

    error: ProblemInPlace


class PredictReply(Reply):
    """Predictions in the order of the images."""

    task: str
    version: int
    backbone: str
    mode: Literal["inductive", "transductive"] = Field(
        description="how the images were judged: `inductive`, each alone, also where `transductive` would not help"
    )
    predictions: list[JudgedPrediction | Prediction | FailedPrediction] = Field(
        description="without `known`, `novelty` and `nearest` if `unknown=ignore` was asked for"
    )
    timing_ms: dict[str, float] = Field(description="decode, embed, head, total")


class TaskPredictions(Reply):
    """What one of several tasks says; predictions in the order of the images."""

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


class BackboneList(Reply):
    default: str = Field(description="name@version of the one that new tasks get")
    backbones: list[BackboneReply]


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
    request_id: str
    images: list[ProblemImage] | None = Field(
        None, description="the examples that cannot be read, in their order; only where that is what is wrong"
    )


class Limits(Reply):
    """How much a request, or a task, may hold on this server; beyond, it is refused."""

    body_bytes: int
    image_bytes: int
    image_pixels: int
    images: int = Field(description="of one prediction")
    new_examples: int = Field(description="of one request")
    classes: int = Field(description="of one task")
    examples: int = Field(description="of one task")


class Health(Reply):
    status: str = Field(description="`ok`; of `/readyz` `ready`, `degraded` where some tasks lack their bundle, `unavailable`")
    checks: dict[str, str] = Field(default_factory=dict)
