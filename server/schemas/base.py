"""What request bodies share, and what response bodies share."""

from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """Made by us alone."""

    model_config = ConfigDict(frozen=True)
