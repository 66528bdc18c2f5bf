"""What request bodies share, and what response bodies share."""

from typing import Annotated

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field


class Request(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Unknown fields and values of another type are refused, at the first of them: nothing is read beyond it."""


class Reply(BaseModel):
    """Made by us alone."""

    model_config = ConfigDict(frozen=True)


FileName = Annotated[
    str | None, Field(description="what the image's file was called; null where its sender did not say, or no images are kept")
]
