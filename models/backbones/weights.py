"""Weights of networks that others trained: the names and files that identify them, and how a file is read."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

RANDOM = "none"
DEFAULT = "DEFAULT"
# Where training scripts keep the state dict among other things.
_WRAPPERS = "state_dict", "model", "model_state_dict"


class PretrainedError(ValueError):
    """A network or weights that are not available, or cannot be an embedding network; the message names them."""


def weights_file(weights: str, names: list[str]) -> Path | None:
    """Returns the file of weights that are not published under a name; None for random ones.

    Raises:
        PretrainedError: there is no such file.
    """
    if weights == RANDOM:
        return None
    if not Path(weights).is_file():
        raise PretrainedError(f"there are no weights {weights!r}: no such file, and the names are {', '.join(names)}, {RANDOM}")
    return Path(weights)


def read_state(path: Path) -> dict[str, Any]:
    """Reads the state dict in a file, without running its code.

    Raises:
        PretrainedError: it holds none.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types for what is no such file.
        raise PretrainedError(f"{path} is not a state dict that PyTorch can load safely: {one_line(error)}") from error
    if not isinstance(state, dict):
        raise PretrainedError(f"{path} holds a {type(state).__name__}, not a state dict")
    state = next((state[key] for key in _WRAPPERS if isinstance(state.get(key), dict)), state)
    return {str(key).removeprefix("module."): value for key, value in state.items()}  # the prefix of DataParallel


def load_state(features: nn.Module, state: dict[str, Any], classifiers: Collection[str], path: Path) -> None:
    """Loads a state dict of the whole network, whatever its classes, or of one without classifier.

    Raises:
        PretrainedError: it is another network's.
    """
    prefixes = tuple(f"{classifier}." for classifier in classifiers)
    try:
        features.load_state_dict({key: value for key, value in state.items() if not str(key).startswith(prefixes)})
    except (RuntimeError, AttributeError) as error:
        raise PretrainedError(f"{path} holds the weights of another network: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """Returns an error's message on one line, cut after 200 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}…"
