"""A tenant on two servers, one of which it has for itself: both must answer it alike, but for ids and times."""

import copy
import difflib
import io
import json
import pprint
import re
import time
import zipfile
from base64 import urlsafe_b64decode
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import httpx

ARCHIVE = "the archive that this server gave last"
"""Stands in a request for bytes that differ from server to server."""

_ULID = "[0-9a-hjkmnp-tv-z]{26}"
_ID = re.compile(
    rf"(?P<kind>task|example|prediction|refresh)_{_ULID}(?:-[0-9a-f]{{8}})?|(?P<event>event_\d+)-[0-9a-f]{{8}}"
    r"|(?P<token>hs)_[0-9a-f]{12}_[0-9a-f]{64}_[0-9a-f]{8}|\b(?P<key>[0-9a-f]{12})\b"
)
_NAME = re.compile(r"«[^»]*»")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_MEASURED = {"timing_ms", "milliseconds", "request_id", "last_used_at", "images_per_second", "seconds_left"}
_HEADERS = (
    "content-type",
    "location",
    "idempotent-replayed",
    "www-authenticate",
    "cache-control",
    "allow",
    "retry-after",
    "ratelimit-policy",
)


@dataclass(frozen=True)
class Shown:
    """An answer with names in the place of ids, and without times."""

    status: int
    headers: tuple[str | None, ...]
    body: Any


class Side:
    """A tenant on one server. Ids get names in the order in which they appear, which is the same on both servers."""

    def __init__(self, api: httpx.Client, token: str) -> None:
        self.api = api
        self.names: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.archive = b""
        self.named(token)

    def ask(self, method: str, path: str, token: str, **request: Any) -> Shown:
        """Sends a request in which names stand for ids."""
        headers = {"Authorization": f"Bearer {token}", **request.pop("headers", {})}
        answer = self.api.request(method, self._real(path), **self._real({"headers": headers, **request}))
        if answer.headers.get("content-type") == "application/zip":
            self.archive = answer.content
        headers_shown = (answer.headers.get(name) for name in _HEADERS)
        shown_headers = tuple(None if value is None else self.named(value) for value in headers_shown)
        return Shown(answer.status_code, shown_headers, self._body(answer))

    def named(self, text: str) -> str:
        """Returns a text with names in the place of ids and times."""
        return _TIME.sub("TIME", _ID.sub(self._name, text))

    def _name(self, found: re.Match[str]) -> str:
        id_ = found[0]
        if id_ not in self.names:
            kind = found["kind"] or found["event"] or found["token"] or "key"
            self.names[id_] = f"«{kind} {len(self.names)}»"
            self.ids[self.names[id_]] = id_
        return self.names[id_]

    def _real(self, part: Any) -> Any:
        if part == ARCHIVE:
            return self.archive
        if isinstance(part, str):
            return _NAME.sub(lambda found: self.ids[found[0]], part)
        if isinstance(part, dict):
            return {name: self._real(value) for name, value in part.items()}
        if isinstance(part, list | tuple):
            return type(part)(self._real(each) for each in part)
        return part

    def _body(self, answer: httpx.Response) -> Any:
        kind = answer.headers.get("content-type", "")
        if "json" in kind:
            return self._walk(answer.json())
        if kind == "application/zip":
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                return {self.named(member): self._member(member, archive.read(member)) for member in archive.namelist()}
        if kind == "application/octet-stream":  # a classifier: the size of its description, that, and the numbers
            end = 8 + int.from_bytes(answer.content[:8], "little")
            return self.named(answer.content[8:end].decode()), answer.content[end:]
        return answer.content

    def _member(self, name: str, content: bytes) -> Any:
        return self._walk(json.loads(content)) if name.endswith(".json") else content

    def _walk(self, part: Any, name: str = "") -> Any:
        if name in _MEASURED:
            return type(part).__name__ if name != "last_used_at" else None
        if isinstance(part, dict):
            if part.get("seconds"):  # a quota of a minute, of which some is used and some comes back
                part = {**part, "used": None}
            return {each: self._walk(value, each) for each, value in part.items()}
        if isinstance(part, list):
            return [self._walk(each) for each in part]
        if isinstance(part, str):
            return self.named(_decoded(part) if name == "next_cursor" else part)
        return part


def _decoded(cursor: str) -> str:
    return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()


class Twin:
    """A tenant on the server that it shares, and on one of its own.

    Attributes:
        sides: the shared server first.
        tokens: the keys that it has, the first for everything.
        told: how requests were answered, for whoever reads a failure.
        done: the statuses of each kind of operation.
        foreign: ids of another tenant's that it has asked for.
    """

    def __init__(self, name: str, sides: tuple[Side, Side]) -> None:
        self.name = name
        self.sides = sides
        self.told: list[str] = []
        self.done: dict[str, set[int]] = defaultdict(set)
        self.foreign: set[str] = set()
        self.tokens = self.of_kind("hs")
        self.token = self.tokens[0]

    def of_kind(self, kind: str) -> list[str]:
        """Returns the names of all that it ever had of a kind, the oldest first."""
        return [name for name, id_ in self.sides[0].ids.items() if name.startswith(f"«{kind} ") and id_ not in self.foreign]

    def id_of(self, name: str) -> str:
        """Returns the id on the shared server."""
        return self.sides[0].ids[name]

    def ask(self, method: str, path: str, token: str | None = None, **request: Any) -> Shown:
        """Asks both, and returns the answer, which is the same."""
        shared, alone = (side.ask(method, path, token or self.token, **copy.deepcopy(request)) for side in self.sides)
        self.told.append(f"{self.name}: {method} {path}: {shared.status}")
        assert shared == alone, "\n".join([*self.told[-20:], str(request)[:500], *_differences(shared, alone)])
        return shared

    def await_end(self, refresh: str) -> None:
        """Waits until a refresh is neither moving nor returning tasks, on both."""
        for side in self.sides:
            deadline = time.monotonic() + 60
            while side.ask("GET", refresh, self.token).body["state"] in {"running", "rolling_back"}:
                assert time.monotonic() < deadline
                time.sleep(0.01)


def _differences(shared: Shown, alone: Shown) -> list[str]:
    """What a reader of a failure wants to see."""
    first, second = (
        pprint.pformat((shown.status, shown.headers, shown.body), width=120).splitlines() for shown in (shared, alone)
    )
    return list(difflib.unified_diff(first, second, "shared", "alone", n=1, lineterm=""))[:40]
