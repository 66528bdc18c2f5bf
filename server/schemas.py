"""Request and response bodies of the HTTP API, version 1."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, StringConstraints

from models.engine import EngineKind
from models.manifest import Evaluation, InputSpec, Solver
from server.text import is_one_line


def _one_line(name: str) -> str:
    if not is_one_line(name):
        raise ValueError("control characters are not allowed")
    return name


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128), AfterValidator(_one_line)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True)


class TaskOptions(_Request):
    """How the head is fitted; what is left out comes from the backbone's defaults."""

    solver: Solver | None = Field(None, description="how the last layer is fitted")
    C: float | None = Field(None, ge=1e-4, le=1e4, description="inverse strength of the L2 penalty (not for `prototype`)")
    temperature: float | None = Field(None, ge=1e-3, le=1e3, description="T of softmax(scores / T)")
    centre: bool | None = Field(None, description="subtract the base classes' mean embedding before normalising")


class ExampleBody(_Request):
    label: str = Field(description="1 to 128 characters after trimming; case is kept")
    image: str = Field(description="JPEG, PNG or WebP, base64")


class TaskBody(_Request):
    """`POST /v1/tasks` as JSON."""

    name: Name | None = None
    options: TaskOptions = TaskOptions()
    examples: Annotated[list[ExampleBody], FailFast()]


class ExamplesBody(_Request):
    """`POST /v1/tasks/{task}/examples` as JSON."""

    examples: Annotated[list[ExampleBody], FailFast()]


class PredictBody(_Request):
    """`POST /v1/tasks/{task}/predict` as JSON."""

    images: Annotated[list[str], FailFast()] = Field(description="JPEG, PNG or WebP, each base64")


class PredictManyBody(_Request):
    """`POST /v1/predict` as JSON."""

    images: Annotated[list[str], FailFast()] = Field(description="JPEG, PNG or WebP, each base64")
    tasks: Annotated[list[str], Field(fail_fast=True)] | Literal["all"] | None = Field(
        None, description="ids, or `all`; unless the query says it"
    )


class TaskPatch(_Request):
    """`PATCH /v1/tasks/{task}`: what is given changes."""

    name: Name | None = None
    active_version: int | None = Field(None, ge=1, description="roll back or forward to this version")


class BackboneBody(_Request):
    """`POST /v1/backbones`."""

    id: str = Field(description="name@version")


class BackbonePatch(_Request):
    """`PATCH /v1/backbones/{backbone}`."""

    default: Literal[True] = Field(description="new tasks get this one; the default before it is none any more")


class ClassReply(_Reply):
    label: str
    examples: int = Field(description="support images of this class")


class HeadReply(_Reply):
    solver: Solver
    C: float
    temperature: float
    centre: bool


class TaskReply(_Reply):
    """A task in its active version."""

    id: str
    name: str
    version: int = Field(description="the active version")
    backbone: str = Field(description="name@version of the bundle that embeds this task's images")
    classes: list[ClassReply]
    head: HeadReply
    created_at: datetime
    updated_at: datetime


Interval = Annotated[tuple[float, float] | None, Field(description="95 % score interval of the accuracy; null without one")]


class ClassQuality(_Reply):
    label: str
    examples: int
    judged: int = Field(description="how many of them a head fitted without them could judge")
    recognised: int = Field(description="how many of those it recognised")
    accuracy: float | None
    interval: Interval


class Confusion(_Reply):
    """Examples of one class that were taken for another."""

    label: str
    recognised_as: str
    examples: int


class Prior(_Reply):
    """What the bundle's evaluation expects at the way and shot nearest to the task's: of other classes, not of this task."""

    accuracy: float
    ci95: float
    ways: int
    shots: int
    dataset: str


class SuspectReply(_Reply):
    """An example that the others contradict."""

    example: str
    label: str
    suggested: str = Field(description="the label that it seems to belong to")
    confidence: float = Field(description="probability of the suggested label")


class DuplicateReply(_Reply):
    """An example that is all but an earlier one; under another label one of the two is wrong."""

    example: str
    label: str
    of: str = Field(description="the earlier example")
    of_label: str
    similarity: float = Field(description="cosine of their embeddings; 1 for the same pixels")


class Quality(_Reply):
    """How good a task is, as far as its support set alone can tell: each example is judged by a head fitted without it."""

    method: str = Field(description="`leave-one-out`, which is exact, or above 500 examples `20 folds`")
    judged: int = Field(description="examples that could be judged: all but those that are alone in their class")
    accuracy: float | None = Field(description="share of the judged examples that were recognised; null if there are none")
    interval: Interval
    classes: list[ClassQuality]
    confusions: list[Confusion] = Field(description="which classes are taken for which, the most frequent first")
    prior: Prior | None = Field(description="where not every example could be judged: what the bundle's evaluation expects")
    advice: str = Field(description="which class gains most from more images")
    suspects: list[SuspectReply] = Field(description="examples whose label the others contradict, the clearest first")
    duplicates: list[DuplicateReply]


class QualityReply(Quality):
    """The quality of a task's active version."""

    task: str
    version: int


class ChangedTaskReply(TaskReply):
    """A task after a change of its support set, with the milliseconds each stage took."""

    quality: Quality | None = Field(description="null above 100 examples: ask for it with `GET …/quality`")
    timing_ms: dict[str, float] = Field(description="decode, embed, fit, store, total")


class TaskPage(_Reply):
    """Newest first."""

    tasks: list[TaskReply]
    next_cursor: str | None = Field(description="pass as `cursor` for the next page; null on the last")


class ExampleReply(_Reply):
    id: str
    label: str
    media_type: str
    bytes: int
    image_kept: bool = Field(description="whether the image can be had back; false if the server was told to keep none")
    sha256: str | None = Field(description="of the image's bytes as they were sent; null if the image was not kept")
    created_at: datetime


class ExamplePage(_Reply):
    """The support set of the active version, oldest first."""

    examples: list[ExampleReply]
    next_cursor: str | None = Field(description="pass as `cursor` for the next page; null on the last")


class VersionReply(_Reply):
    """One immutable version of a task."""

    version: int
    active: bool
    change: str = Field(description="what made it: `created`, `added`, `removed` or `refreshed`")
    backbone: str
    classes: list[ClassReply]
    head: HeadReply
    created_at: datetime


class VersionPage(_Reply):
    """Newest first."""

    versions: list[VersionReply]


class ProblemInPlace(_Reply):
    """What went wrong with one of several, in the place of its answer."""

    code: str
    detail: str


class Prediction(_Reply):
    """What one image was recognised as."""

    label: str
    probability: float
    scores: dict[str, float] = Field(description="probability by label, the most probable first; `top_k` of them")


class Neighbour(_Reply):
    """An example of the task that an image resembles."""

    example: str
    label: str
    similarity: float = Field(description="cosine of their features, to three decimals: 1 for the same pixels")
    image: str | None = Field(description="its address on this server; null if the server was told to keep no images")


class JudgedPrediction(Prediction):
    """A prediction with a verdict on whether the image is of any of the task's classes at all."""

    known: bool = Field(description="false for a stranger, `none of these`: then `label` is only the likest of the classes")
    novelty: float = Field(description="0 for what looks like the task's classes, 1 for a stranger; the verdict turns at ½")
    nearest: list[Neighbour] = Field(description="the three examples it most resembles, the most similar first")


class FailedPrediction(_Reply):
    """An image that could not be read; its neighbours are unaffected."""

    error: ProblemInPlace


class PredictReply(_Reply):
    """Predictions in the order of the images."""

    task: str
    version: int
    backbone: str
    predictions: list[JudgedPrediction | Prediction | FailedPrediction] = Field(
        description="without `known`, `novelty` and `nearest` if `unknown=ignore` was asked for"
    )
    timing_ms: dict[str, float] = Field(description="decode, embed, head, total")


class TaskPredictions(_Reply):
    """What one of several tasks says; predictions in the order of the images."""

    task: str
    version: int
    backbone: str
    predictions: list[Prediction | FailedPrediction]


class FailedTask(_Reply):
    """A task that cannot be asked now; the others are unaffected."""

    task: str
    version: int
    backbone: str
    error: ProblemInPlace


class PredictManyReply(_Reply):
    """Results in the order of the tasks; of all tasks, the newest first."""

    results: list[TaskPredictions | FailedTask]
    timing_ms: dict[str, float] = Field(description="decode, embed, head, total")


class BackboneReply(_Reply):
    id: str
    default: bool = Field(description="new tasks get this one")
    open: bool = Field(description="loaded and warm; a task opens its bundle when it is asked for")
    engines: list[EngineKind] = Field(description="what runs it while it is open; several, where tasks use several of its files")
    active_tasks: int = Field(description="tasks whose active version uses it")
    embedding_dim: int
    input: InputSpec
    architecture: str
    dataset: str
    evaluations: list[Evaluation]


class BackboneList(_Reply):
    backbones: list[BackboneReply]


class Problem(_Reply):
    """RFC 9457 `application/problem+json`."""

    type: str = Field("about:blank", description="always `about:blank`: `code` tells the kinds apart")
    title: str
    status: int
    code: str = Field(description="stable; see the table of errors")
    detail: str
    request_id: str


class Health(_Reply):
    status: str
    checks: dict[str, str] = {}
