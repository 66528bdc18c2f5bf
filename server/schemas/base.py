"""What request bodies share, and what response bodies share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Request(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """Made by us alone."""

    model_config = ConfigDict(frozen=True)


FileName = Annotated[
    str | None, Field(description="what the image's file was called; null where its sender did not say, or no images are kept")
]
