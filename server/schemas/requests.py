"""Request bodies."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import asdict, force_setattr

from models.labels import MAX_LABEL, clean_label
from models.manifest import Solver
from server.schemas.base import Request
from server.store.records import Keep, LabelMode

Name = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_LABEL})]

_IMAGE = "JPEG, PNG, WebP, HEIC or AVIF, base64"
_AT_LEAST_ONE: dict[str, Any] = {"minItems": 1}
_MOST_CANDIDATES = 32
_MOST_CAPTURES, _MOST_DAYS = 10_000, 3650  # more could not be ordered in the time of a request


def clean_name(raw: str) -> str:
    """Returns the name of a task, cleaned as labels are.

    Raises:
        ValueError: it is empty, longer than 128 characters, or holds control characters.
    """
    try:
        return clean_label(raw)
    except ValueError as error:
        raise ValueError(f"name {error}") from None


class _Options(Request, frozen=True):
    """Options that may each be left out."""

    def given(self) -> dict[str, Any]:
        """Returns those that are not left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class TaskOptions(_Options, frozen=True):
    """The options of the head; those left out come from the backbone's defaults."""

    solver: Annotated[Solver | None, Meta(description="how the last layer is fitted")] = None
    C: Annotated[
        Annotated[float, Meta(ge=1e-4, le=1e4)] | None,
        Meta(description="inverse strength of the L2 penalty (not for `prototype`)"),
    ] = None
    temperature: Annotated[Annotated[float, Meta(ge=1e-3, le=1e3)] | None, Meta(description="T of softmax(scores / T)")] = None
    centre: Annotated[bool | None, Meta(description="subtract the base classes' mean embedding before normalising")] = None


class CaptureOptions(_Options, frozen=True):
    """The predictions of a task that are captured for review; what is left out stays as it is."""

    keep: Annotated[
        Keep | None,
        Meta(description="`none` (at first), `all`, or `uncertain`: unknown, or probability or margin too low"),
    ] = None
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=_MOST_CAPTURES)] | None,
        Meta(description="most captures of the task, 1000 at first; the oldest leaves first"),
    ] = None
    days: Annotated[
        Annotated[int, Meta(ge=1, le=_MOST_DAYS)] | None, Meta(description="age at which a capture leaves, 30 at first")
    ] = None
    notify: Annotated[
        Annotated[int, Meta(ge=1, le=_MOST_CAPTURES)] | UnsetType | None,
        Meta(description="number of captures at which an event tells that they wait; null, as at first, for never"),
    ] = UNSET

    def given(self) -> dict[str, Any]:
        """Returns those that are not left out. A `notify` of None is not."""
        others = {name: value for name, value in super().given().items() if value is not UNSET}
        return others | ({"notify": None} if self.notify is None else {})


_Labels = Annotated[
    list[str] | UnsetType,
    Meta(description="instead, in a task of several labels an image: all its labels, at most 64; empty if it has none"),
]


class _Labelled(Request, frozen=True):
    """A body with a label, or in a task of several labels an image with any number of them."""

    label: Annotated[
        str | UnsetType | None,
        Meta(description="1 to 128 characters after trimming; case is kept; null if it is of none of the classes"),
    ] = UNSET
    labels: _Labels = UNSET

    def __post_init__(self) -> None:
        if (self.label is UNSET) == (self.labels is UNSET):
            raise ValueError("give either label, or labels in a task of several labels an image")


class ExampleBody(_Labelled, frozen=True, kw_only=True):
    image: Annotated[str, Meta(description=_IMAGE)]
    file_name: Annotated[str | None, Meta(description="what the image's file is called, with folders if they tell something")] = (
        None
    )


class TaskBody(Request, frozen=True, kw_only=True):
    """`POST /v1/tasks` as JSON."""

    name: Name | None = None
    options: TaskOptions = TaskOptions()
    capture: CaptureOptions = CaptureOptions()
    label_mode: Annotated[
        LabelMode, Meta(description="`multiple` if an image may have any number of labels; it cannot be changed later")
    ] = "single"
    classes: Annotated[
        list[str], Meta(description="names of classes, which need no example where the backbone reads text; each as a label is")
    ] = field(default_factory=list)
    examples: list[ExampleBody] = field(default_factory=list)

    def __post_init__(self) -> None:
        _clean(self)


class ExamplesBody(Request, frozen=True):
    """`POST /v1/tasks/{task}/examples` as JSON."""

    examples: Annotated[list[ExampleBody], Meta(extra_json_schema=_AT_LEAST_ONE)]


class PredictBody(Request, frozen=True):
    """`POST /v1/tasks/{task}/predict` as JSON."""

    images: Annotated[list[str], Meta(description=_IMAGE, extra_json_schema=_AT_LEAST_ONE)]


class PredictManyBody(Request, frozen=True):
    """`POST /v1/predict` as JSON."""

    images: Annotated[list[str], Meta(description=_IMAGE, extra_json_schema=_AT_LEAST_ONE)]
    tasks: Annotated[list[str] | Literal["all"] | None, Meta(description="ids, or `all`; unless the query says it")] = None


class Candidate(Request, frozen=True):
    """A way to fit a task's head. What is left out stays as the active version has it; another solver comes with the backbone's
    options for it, and so does another backbone, save options that the task's owner asked for.
    """

    backbone: Annotated[str | None, Meta(description="name@version")] = None
    options: TaskOptions = TaskOptions()


class CompareBody(Request, frozen=True):
    """`POST /v1/tasks/{task}/compare`."""

    candidates: Annotated[
        Annotated[list[Candidate], Meta(min_length=1, max_length=_MOST_CANDIDATES)] | None,
        Meta(
            description="by default every solver as the task's backbone has them, and the active version's options on the "
            "backbone that new tasks get and on every other that is open"
        ),
    ] = None


class TaskPatch(Request, frozen=True):
    """`PATCH /v1/tasks/{task}`: what is given changes."""

    name: Name | None = None
    active_version: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="roll back or forward to this version")] = None
    capture: CaptureOptions | None = None

    def __post_init__(self) -> None:
        _clean(self)


class ExamplePatch(_Labelled, frozen=True):
    """`PATCH /v1/tasks/{task}/examples/{example}`: classes of the task's or new ones."""


class Decision(Request, frozen=True):
    """A decision about some captures: either `label`, or `labels` in a task of several labels an image, or `discard`."""

    captures: Annotated[list[str], Meta(description="ids", extra_json_schema=_AT_LEAST_ONE)]
    label: Annotated[
        str | UnsetType | None,
        Meta(description="the class that they belong to, of the task's or a new one; null for none: they become negatives"),
    ] = UNSET
    labels: _Labels = UNSET
    discard: Annotated[bool, Meta(description="remove them for good")] = False

    def __post_init__(self) -> None:
        if [self.label is not UNSET, self.labels is not UNSET, self.discard].count(True) != 1:
            raise ValueError("a decision has either label or discard: true, or labels in a task of several labels an image")


class ResolveBody(Request, frozen=True):
    """`POST /v1/tasks/{task}/captures/resolve`."""

    decisions: Annotated[list[Decision], Meta(extra_json_schema=_AT_LEAST_ONE)]


class CorrectionBody(_Labelled, frozen=True, kw_only=True):
    """`POST /v1/tasks/{task}/corrections`: classes of the task's or new ones."""

    prediction: Annotated[str, Meta(description="id of a prediction that was remembered or captured")]


class BackboneBody(Request, frozen=True):
    """`POST /v1/backbones`."""

    id: Annotated[str, Meta(description="name@version")]


class BackbonePatch(Request, frozen=True):
    """`PATCH /v1/backbones/{backbone}`."""

    default: Annotated[
        bool,
        Meta(description="new tasks get this one; the default before it is none any more", extra_json_schema={"const": True}),
    ]

    def __post_init__(self) -> None:
        if not self.default:
            raise ValueError("default is true or left alone: make another backbone the default instead")


def _clean(body: TaskBody | TaskPatch) -> None:
    if body.name is not None:
        force_setattr(body, "name", clean_name(body.name))
