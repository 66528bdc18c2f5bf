"""A network that was opened to be imported, with its description for the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.manifest import Architecture, InputSpec, Licence, TextTower
from training.export.candidate import Candidate


@dataclass(frozen=True)
class Opened:
    """An opened network.

    Attributes:
        name: of its source.
        weights: their published name, or that of their file.
        file: the one file that they came from, if there is one.
        licence: None where it is unknown.
        text: the description of the network that reads texts, if there is one.
        further: files for the bundle, by name: those that `text` names, and the licence's text.
    """

    candidate: Candidate
    architecture: Architecture
    embedding_dim: int
    spec: InputSpec
    name: str
    weights: str
    file: Path | None
    licence: Licence | None = None
    text: TextTower | None = None
    further: Mapping[str, bytes] = field(default_factory=dict)
