"""The client of a drill: every answer is kept, and held against what the API documents."""

import re
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.server_process import ROOT

_OF_HAPROXY = {(502, "server_lost"), (503, "no_server"), (504, "server_late")}
_PAUSE_SECONDS = 0.25
_GIVE_UP_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or the failure of a connection.

    Attributes:
        sent, received: on the monotonic clock.
        outcome: the status and the code of a problem, such as `503 storage_failed`; or the name of a failed connection.
        documented: whether the API has such an answer.
        certain: whether it is known that the request changed something, or that it did not.
    """

    kind: str
    sent: float
    received: float
    status: int
    outcome: str
    documented: bool
    certain: bool = True


class GaveUp(Exception):
    """No answer of those that were wanted came in time."""


class Client:
    """Sends requests to one address from any thread, and keeps what came back.

    Args:
        key: the API key of all requests that bring no other.
    """

    def __init__(self, url: str, key: str) -> None:
        self.answers: list[Answer] = []
        self._codes = _documented_codes()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._api = httpx.Client(base_url=url, timeout=30, limits=limits, headers={"Authorization": f"Bearer {key}"})
        document = self._api.get("/openapi.json").raise_for_status().json()
        self._statuses = {
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), method.upper()): set(operation["responses"])
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @property
    def mine(self) -> list[Answer]:
        """The answers that this thread got since it cleared them."""
        found: list[Answer] = self._of_thread.__dict__.setdefault("answers", [])
        return found

    def ask(self, kind: str, method: str, path: str, **request: Any) -> tuple[httpx.Response | None, Answer]:
        """Sends a request once. The response is None if the connection failed."""
        sent = time.monotonic()
        try:
            response = self._api.request(method, path, **request)
        except httpx.TransportError as error:
            # HAProxy closes a connection in use before, without an answer, where the server's connection has ended.
            closed = isinstance(error, httpx.RemoteProtocolError)
            outcome = "connection closed" if closed else type(error).__name__
            answer = Answer(kind, sent, time.monotonic(), 0, outcome, closed, False)
            return None, self._kept(answer)
        code = _code_of(response)
        known = self._is_documented(method, path.partition("?")[0], response.status_code, code)
        certain = response.status_code < 500 or (response.status_code == 503 and "may have been stored" not in response.text)
        outcome = f"{response.status_code} {code}".strip()
        return response, self._kept(Answer(kind, sent, time.monotonic(), response.status_code, outcome, known, certain))

    def insist(
        self, kind: str, method: str, path: str, wanted: Collection[int], **request: Any
    ) -> tuple[httpx.Response, list[Answer]]:
        """Sends a request until it gets one of the answers that are wanted. Also returns the answers of all tries.

        Raises:
            GaveUp: it got another answer than 5xx, or none of those in time.
        """
        until = time.monotonic() + _GIVE_UP_SECONDS
        tries = []
        while True:
            response, answer = self.ask(kind, method, path, **request)
            tries.append(answer)
            if response is not None and response.status_code in wanted:
                return response, tries
            if (response is not None and response.status_code < 500) or time.monotonic() > until:
                raise GaveUp(f"{kind}: {method} {path}: {answer.outcome} {response.text[:300] if response is not None else ''}")
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Closes the connections."""
        self._api.close()

    def _kept(self, answer: Answer) -> Answer:
        with self._lock:
            self.answers.append(answer)
        self.mine.append(answer)
        return answer

    def _is_documented(self, method: str, path: str, status: int, code: str) -> bool:
        if (status, code) in _OF_HAPROXY:
            return True
        listed = next(
            (statuses for (form, verb), statuses in self._statuses.items() if verb == method and form.fullmatch(path)), None
        )
        return listed is not None and str(status) in listed and (not code or self._codes.get(code) == status)


def token_of(headers: Mapping[str, str]) -> int:
    """Returns what `Headstart-At-Least` of an answer says; 0 if it has none."""
    return int(headers.get("headstart-at-least", "0"))


def _code_of(response: httpx.Response) -> str:
    if response.headers.get("content-type", "") != "application/problem+json":
        return "" if response.status_code < 400 else "no problem"
    return str(response.json().get("code"))


def _documented_codes() -> dict[str, int]:
    """Returns the status of each code in the table of errors of docs/api.md."""
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    return {code: int(status) for code, status in rows}
