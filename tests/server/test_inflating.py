"""Compressed bodies: what comes out is what went in, however it was cut, and nothing else is taken for a body."""

import asyncio
import gzip
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from server.errors import InvalidRequest, UnsupportedMediaType
from server.http.open_inference.inflating import inflated

_PIECE = 262_144


def sent(pieces: Iterable[bytes], encoding: str | None) -> list[Message]:
    """The messages of a request whose body comes in these pieces, until its client leaves."""
    waiting: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting[-1]["more_body"] = False
    waiting.append({"type": "http.disconnect"})

    async def receive() -> Message:
        return waiting.pop(0)

    async def all_of() -> list[Message]:
        headers = [] if encoding is None else [(b"content-encoding", encoding.encode())]
        scope: dict[str, Any] = {"type": "http", "headers": headers}
        next_of = inflated(scope, receive)
        messages = [await next_of()]
        while messages[-1]["type"] != "http.disconnect":
            messages.append(await next_of())
        return messages

    return asyncio.run(all_of())


def body_of(messages: list[Message]) -> bytes:
    *pieces, last, left = messages
    assert left["type"] == "http.disconnect"
    assert all(piece["more_body"] for piece in pieces)
    assert not last["more_body"]
    assert all(len(piece["body"]) <= _PIECE for piece in [*pieces, last])
    return b"".join(piece["body"] for piece in [*pieces, last])


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=4), st.sampled_from(["gzip", "deflate", " GZIP"]))
def test_a_body_comes_out_as_it_went_in(body: bytes, at: list[int], encoding: str) -> None:
    compressed = zlib.compress(body) if encoding == "deflate" else gzip.compress(body)
    assert body_of(sent(cut(compressed, at), encoding)) == body


@pytest.mark.parametrize("size", [_PIECE - 1, _PIECE, _PIECE + 1, 2 * _PIECE, 1_000_000])
def test_a_large_one_comes_out_in_pieces(size: int) -> None:
    messages = sent([gzip.compress(bytes(size))], "gzip")
    assert body_of(messages) == bytes(size)
    assert len(messages) >= size // _PIECE


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_cut_one_is_refused(body: bytes, data: st.DataObject) -> None:
    compressed = gzip.compress(body)
    kept = data.draw(st.integers(0, len(compressed) - 1))
    with pytest.raises(InvalidRequest):
        sent([compressed[:kept]], "gzip")


@pytest.mark.parametrize("behind", [b"x", gzip.compress(b"another")], ids=["a byte", "another stream"])
@pytest.mark.parametrize("together", [True, False])
def test_nothing_may_follow(behind: bytes, together: bool) -> None:
    whole = gzip.compress(b"body")
    with pytest.raises(InvalidRequest):
        sent([whole + behind] if together else [whole, behind], "gzip")


def test_other_bytes_and_other_encodings_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        sent([b"plain"], "gzip")
    with pytest.raises(UnsupportedMediaType, match="br"):
        sent([b"plain"], "br")
    with pytest.raises(UnsupportedMediaType):
        sent([gzip.compress(b"plain")], "gzip, gzip")


@pytest.mark.parametrize("encoding", [None, "identity"])
def test_a_plain_body_is_left_alone(encoding: str | None) -> None:
    assert body_of(sent([b"a", b"b"], encoding)) == b"ab"
