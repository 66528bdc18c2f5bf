"""Request bodies."""

from typing import Annotated, Literal

from pydantic import AfterValidator, FailFast, Field, StringConstraints

from models.manifest import Solver
from server.schemas.base import Request
from server.text import is_one_line


def _one_line(name: str) -> str:
    if not is_one_line(name):
        raise ValueError("control characters are not allowed")
    return name


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128), AfterValidator(_one_line)]


class TaskOptions(Request):
    """How the head is fitted; what is left out comes from the backbone's defaults."""

    solver: Solver | None = Field(None, description="how the last layer is fitted")
    C: float | None = Field(None, ge=1e-4, le=1e4, description="inverse strength of the L2 penalty (not for `prototype`)")
    temperature: float | None = Field(None, ge=1e-3, le=1e3, description="T of softmax(scores / T)")
    centre: bool | None = Field(None, description="subtract the base classes' mean embedding before normalising")


class ExampleBody(Request):
    label: str = Field(description="1 to 128 characters after trimming; case is kept")
    image: str = Field(description="JPEG, PNG, WebP, HEIC or AVIF, base64")
    file_name: str | None = Field(None, description="what the image's file is called, with folders if they tell something")


class TaskBody(Request):
    """`POST /v1/tasks` as JSON."""

    name: Name | None = None
    options: TaskOptions = TaskOptions()
    examples: Annotated[list[ExampleBody], FailFast()]


class ExamplesBody(Request):
    """`POST /v1/tasks/{task}/examples` as JSON."""

    examples: Annotated[list[ExampleBody], FailFast()]


class PredictBody(Request):
    """`POST /v1/tasks/{task}/predict` as JSON."""

    images: Annotated[list[str], FailFast()] = Field(description="JPEG, PNG, WebP, HEIC or AVIF, each base64")


class PredictManyBody(Request):
    """`POST /v1/predict` as JSON."""

    images: Annotated[list[str], FailFast()] = Field(description="JPEG, PNG, WebP, HEIC or AVIF, each base64")
    tasks: Annotated[list[str], Field(fail_fast=True)] | Literal["all"] | None = Field(
        None, description="ids, or `all`; unless the query says it"
    )


class Candidate(Request):
    """A way to fit a task's head. What is left out stays as the active version has it; another solver comes with the backbone's
    options for it, and so does another backbone, save options that the task's owner asked for.
    """

    backbone: str | None = Field(None, description="name@version")
    options: TaskOptions = TaskOptions()


class CompareBody(Request):
    """`POST /v1/tasks/{task}/compare`."""

    candidates: Annotated[list[Candidate] | None, Field(min_length=1, max_length=32)] = Field(
        None,
        description="by default the three solvers as the task's backbone has them, and the active version's options on the "
        "backbone that new tasks get and on every other that is open",
    )


class TaskPatch(Request):
    """`PATCH /v1/tasks/{task}`: what is given changes."""

    name: Name | None = None
    active_version: int | None = Field(None, ge=1, description="roll back or forward to this version")


class ExamplePatch(Request):
    """`PATCH /v1/tasks/{task}/examples/{example}`."""

    label: str = Field(description="the class that it belongs to, of the task's or a new one")


class BackboneBody(Request):
    """`POST /v1/backbones`."""

    id: str = Field(description="name@version")


class BackbonePatch(Request):
    """`PATCH /v1/backbones/{backbone}`."""

    default: Literal[True] = Field(description="new tasks get this one; the default before it is none any more")
