"""The content type of a request, and its body as JSON: read no further than its first fault, at a bounded price."""

from functools import cache
from typing import TypeVar

from fastapi import Request
from msgspec import ValidationError
from msgspec.json import Decoder
from starlette.requests import ClientDisconnect

from server.errors import BodyTooLarge, InvalidRequest, LimitExceeded, UnsupportedMediaType
from server.schemas.base import Request as Body
from server.service import Service

MULTIPART, JSON = "multipart/form-data", "application/json"

WITHOUT_IMAGES = 65_536  # bytes of a body that holds no images
WITH_TASKS = 5_000_000  # and of one that lists tasks: as many ids as there may be commas

# A list of nothing but commas and quotes would cost many times its bytes once it is read. The examples that one request may
# bring have fewer commas than this, even with the most that labels can hold.
MOST_COMMAS = 150_000
_LARGE = 65_536  # bytes that take the event loop longer to read than to hand to a thread
_BOM, _GZIP = b"\xef\xbb\xbf", b"\x1f\x8b"

_Body = TypeVar("_Body", bound=Body)


def media_type(request: Request) -> str:
    """Returns the type of the body, in lower case and without its parameters; empty where it is not said.

    Raises:
        UnsupportedMediaType: the body is compressed.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMediaType(f"a body with Content-Encoding {encoding[:100]} is not taken; send it as it is, uncompressed")
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_bytes(request: Request) -> bytes:
    """Returns the body as it is.

    Raises:
        ClientDisconnect: the client left before its end.
    """
    parts: list[bytes] = []
    while (message := await request.receive())["type"] != "http.disconnect":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise ClientDisconnect


async def read_json(request: Request, service: Service, model: type[_Body], most_bytes: int = WITHOUT_IMAGES) -> _Body:
    """Returns the body as `model`.

    Raises:
        InvalidRequest: it is not JSON, or does not fit.
        BodyTooLarge, LimitExceeded: it has more bytes than `most_bytes`, or more commas than any body needs.
        UnsupportedMediaType: it does not say that it is JSON, or is compressed.
    """
    _check_is_json(request)
    raw, commas = await _read(request, most_bytes)
    if len(raw) > _LARGE:
        return await service.pools.in_thread(_parse, raw, model, commas)
    return _parse(raw, model, commas)


async def read_json_if_any(request: Request, model: type[_Body]) -> _Body:
    """Returns the body, which holds no images, as `model`, or what that is without any; raises as `read_json` does."""
    raw, commas = await _read(request, WITHOUT_IMAGES)
    if not raw:
        return model()
    _check_is_json(request)
    return _parse(raw, model, commas)


def _check_is_json(request: Request) -> None:
    if (said := media_type(request)) != JSON:
        raise UnsupportedMediaType(f"send {JSON}, not {said[:100] or 'a body without Content-Type'}")


async def _read(request: Request, most_bytes: int) -> tuple[bytearray, int]:
    """Returns the body, no further than it has too many commas, and how many it has."""
    raw, commas = bytearray(), 0
    async for chunk in request.stream():
        raw += chunk
        commas += chunk.count(b",")
        if len(raw) > most_bytes:
            raise BodyTooLarge(most_bytes)
        if commas > MOST_COMMAS:
            break
    return raw, commas


def _parse(raw: bytearray, model: type[_Body], commas: int) -> _Body:
    if raw.startswith(_GZIP):
        raise UnsupportedMediaType("the body is compressed with gzip, which is not taken; send it as it is")
    if raw.startswith(_BOM):
        del raw[: len(_BOM)]
    try:
        body: _Body = _decoder(model).decode(raw)
    except UnicodeError as error:
        raise InvalidRequest("the JSON body is not UTF-8") from error
    except ValueError as error:
        if commas > MOST_COMMAS and not isinstance(error, ValidationError):  # It was read no further.
            raise LimitExceeded("commas in this JSON body, at least", commas, MOST_COMMAS) from None
        raise InvalidRequest(f"the JSON body: {error}") from error
    return body


@cache
def _decoder(model: type[_Body]) -> Decoder[_Body]:
    return Decoder(model)
