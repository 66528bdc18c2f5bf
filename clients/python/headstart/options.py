"""Options for fitting a task's last layer, as the API takes them."""

from typing import Literal, TypedDict


class HeadOptions(TypedDict, total=False):
    """Options for fitting the last layer. Those left out come from the backbone's defaults."""

    solver: Literal["logistic", "ridge", "prototype"]
    C: float
    temperature: float
    centre: bool


class Candidate(TypedDict, total=False):
    """A way to fit a task's last layer, for `Client.compare`. Fields left out stay as the task has them."""

    backbone: str
    options: HeadOptions
