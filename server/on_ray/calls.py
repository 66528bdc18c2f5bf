"""The calls between replicas of `Api` and of `Engines`, and the names by which Serve routes them."""

from dataclasses import dataclass
from typing import cast

from models.engine import EngineKind
from server.engine.shared.handshake import Wanted

BATCHES = 4
"""Batches under way of an `Api` replica, and in an `Engines` replica: one is embedded, and the others make the next one."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The answer of a replica of `Engines` that was asked for an engine.

    Attributes:
        kind: of the engine that runs.
        max_batch: of it.
        problem: why it cannot be run there; None if it can.
    """

    kind: EngineKind
    max_batch: int = 0
    problem: str | None = None


def model_of(wanted: Wanted) -> str:
    """Returns the name by which Serve routes the calls for an engine. The file is a part of it: another one needs a version."""
    return f"{wanted.id} {wanted.kind} {wanted.manifest}"


def wanted_of(model: str) -> Wanted:
    """Returns the engine that such a name stands for."""
    id_, kind, manifest = model.split(" ")
    return Wanted(id_, manifest, cast("EngineKind", kind))
