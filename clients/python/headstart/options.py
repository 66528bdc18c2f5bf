"""How the last layer is fitted, as the API takes it."""

from typing import Literal, TypedDict


class HeadOptions(TypedDict, total=False):
    """How the last layer is fitted; what is left out comes from the backbone's defaults."""

    solver: Literal["logistic", "ridge", "prototype"]
    C: float
    temperature: float
    centre: bool


class Candidate(TypedDict, total=False):
    """A way to fit a task's last layer, to be tried; what is left out stays as the task has it."""

    backbone: str
    options: HeadOptions
