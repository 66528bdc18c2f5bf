"""What request bodies share, and what response bodies share."""

from msgspec import Struct
from pydantic import BaseModel, ConfigDict


class Request(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Unknown fields and values of another type are refused, at the first of them: nothing is read beyond it."""


class Reply(BaseModel):
    """Made by us alone."""

    model_config = ConfigDict(frozen=True)
