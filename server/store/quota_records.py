"""The records of quotas that the store takes and returns."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

EVERY_TENANT = "*"
"""In the place of a tenant: the quotas of all tenants, where their own say nothing."""

Stored = Literal["tasks", "examples", "bytes", "captures"]
STORED: tuple[Stored, ...] = get_args(Stored)


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of a tenant or of a key; None is no limit.

    Attributes:
        requests, images: a minute.
        tasks: stored.
        examples: stored, also those that only earlier versions have.
        bytes: of the stored images of examples and captures.
        captures: that wait for a decision.
    """

    requests: int | None = None
    images: int | None = None
    tasks: int | None = None
    examples: int | None = None
    bytes: int | None = None
    captures: int | None = None

    def completed(self, others: "Quota") -> "Quota":
        """Returns these limits, and those of the others where these have none."""
        pairs = {field.name: (getattr(self, field.name), getattr(others, field.name)) for field in fields(self)}
        return Quota(**{name: other if own is None else own for name, (own, other) in pairs.items()})


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class Usage:
    """The things that a tenant has stored, as `Quota` counts them."""

    tasks: int = 0
    examples: int = 0
    bytes: int = 0
    captures: int = 0
