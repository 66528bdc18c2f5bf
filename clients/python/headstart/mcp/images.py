"""The forms in which an agent gives images."""

import base64
import binascii
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, EncodedBytes, EncoderProtocol, Field
from pydantic_core import PydanticCustomError


class _Strictly(EncoderProtocol):
    """Base64 as the API takes it: pydantic's own leaves out what is none."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """Returns the bytes that were encoded."""
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise PydanticCustomError("base64", "this is not base64") from error

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """Returns the text of bytes."""
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> str:
        """The format's name in a JSON schema."""
        return "base64"


class Base64Image(BaseModel):
    """The bytes of an image file."""

    model_config = ConfigDict(extra="forbid")

    base64: Annotated[bytes, EncodedBytes(encoder=_Strictly)] = Field(
        description="a JPEG, PNG, WebP, HEIC or AVIF file, in base64"
    )

    @property
    def image(self) -> bytes:
        """The image as a client takes it."""
        return self.base64


class FileImage(BaseModel):
    """An image file on the machine where the tools run."""

    model_config = ConfigDict(extra="forbid")

    path: Path = Field(description="path of a JPEG, PNG, WebP, HEIC or AVIF file")

    @property
    def image(self) -> Path:
        """The image as a client takes it."""
        return self.path.expanduser()


LocalImage = FileImage | Base64Image
