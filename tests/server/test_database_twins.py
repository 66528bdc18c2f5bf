"""One server on SQLite and one on PostgreSQL: the same requests get the same answers, but for ids and times."""

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.helpers.bundles import SMALL
from tests.helpers.databases import Kind, stores_in
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.twins import Shown, Side, Twin
from tests.helpers.uploads import base64_of, multipart, queries
from tests.server.test_tenant_twins import _IMAGES, _OTHER, OPERATIONS, Walk, bundles, capture, store_captures_soon

__all__ = ["bundles"]

_KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
_NAMES = ("task", "example", "prediction", "refresh", "key")
# What one of the databases cannot store, compare or count to, and what text is only nearly.
_ODD = (
    "",
    "\0",
    "a\0b",
    "\ud800",
    "a\udfffb",
    "\u0130",
    "e\u0301",
    "\u00e9",
    "\U0001f98a",
    "%00",
    "'\"\\",
    "x" * 3000,
    "9" * 18,
    "9" * 19,
    "9" * 40,
    "-1",
    "NaN",
    "event_1-00000000",
    f"event_{2**63}-00000000",
    f"event_{10**30}-00000000",
)
_NUMBERS = (
    0,
    -1,
    1,
    2,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**30,
    10**400,
    0.5,
    1e-320,
    float("nan"),
    float("inf"),
    -float("inf"),
    True,
    None,
    "1",
    [],
)
_LABELS = ("a", "B", "b", "Z", "é", "z", "ß", "ss", "_", "\U0001f98a", "\uffff", "~", " a", "10", "9")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Iterator[tuple[list[Twin], list[httpx.Client]]]:
    """Two tenants, each on both servers, and clients of the operators of both."""
    folder = tmp_path_factory.mktemp("databases")
    flags = ("--bundles-dir", str(bundles), "--bundle", SMALL)
    with ExitStack() as stack:
        operators, keys = [], []
        for kind in _KINDS:
            stack.enter_context(stores_in(kind))
            data = folder / kind
            keys.append({tenant: _key_of(data, tenant) for tenant in ("default", "ours", "theirs")})
            server = stack.enter_context(ServerProcess(data, *flags, prepare=store_captures_soon))
            headers = {"Authorization": f"Bearer {keys[-1]['default']}"}
            operators.append(stack.enter_context(httpx.Client(base_url=server.url, headers=headers, timeout=60)))
            assert operators[-1].post("/v1/backbones", json={"id": _OTHER}).status_code == 201
        first, second = operators
        yield (
            [Twin(name, (Side(first, keys[0][name]), Side(second, keys[1][name]))) for name in ("ours", "theirs")],
            operators,
        )


def _key_of(data: Path, tenant: str) -> str:
    made = run_server("keys", "create", "--tenant", tenant, "--scope", "manage", "--data-dir", str(data), folder=data.parent)
    return made.stdout.strip()


def test_a_history_is_answered_alike(twins: tuple[list[Twin], list[httpx.Client]]) -> None:
    _walk(twins, seed=1, steps=15)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_long_histories_are_answered_alike(twins: tuple[list[Twin], list[httpx.Client]], seed: int) -> None:
    _walk(twins, seed, steps=400)


def _walk(twins: tuple[list[Twin], list[httpx.Client]], seed: int, steps: int) -> None:
    """Does every operation by each tenant and then random ones. After each, both ask whatever can be read."""
    (ours, theirs), operators = twins
    rng = random.Random(seed)
    walks = [Walk(ours, theirs, rng, operators), Walk(theirs, ours, rng, operators)]
    paths = operators[0].get("/openapi.json").json()["paths"]
    gets = [path for path, operations in paths.items() if "get" in operations and path.startswith("/v1/")]
    for _, operation in OPERATIONS:
        for walk in walks:
            walk.do(operation)
            walk.do(capture)
            walk.look(gets)
    for _ in range(steps):
        for walk in walks:
            rng.choice(walks).step()
            walk.look(gets)


class Asker:
    """Asks both servers with values that a database may not take.

    Args:
        twin: has a task with captures, a refresh and a second key already.
    """

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.known = {kind: twin.of_kind(kind) for kind in _NAMES}
        self.known["capture"] = self.known["prediction"]
        del self.known["key"][0]  # the one that asks, which is needed yet
        self.texts = st.sampled_from((*_ODD, *_LABELS, *(name for names in self.known.values() for name in names)))

    def text(self, data: st.DataObject) -> str:
        """What stands in the place of an id, a label, a name or a cursor."""
        return data.draw(self.texts | st.text(max_size=5) | _any_characters())

    def ask(self, data: st.DataObject) -> Shown:
        method, path = data.draw(st.sampled_from(_REQUESTS))
        while "{" in path:
            before, _, rest = path.partition("{")
            kind, _, after = rest.partition("}")
            path = before + self._part(data, kind) + after
        params = {name: self._param(data) for name in data.draw(st.lists(st.sampled_from(_PARAMS), max_size=2, unique=True))}
        query = "&".join(f"{name}={_quoted(value)}" for name, value in params.items())
        headers = self._headers(data)
        body = data.draw(st.sampled_from(_BODIES.get((method, path.rpartition("/")[2]), _ANY_BODY))) if method != "GET" else None
        request: dict[str, Any] = {"headers": headers}
        if body is not None:
            request["content"] = _json(self._filled(data, body))
            request["headers"]["Content-Type"] = "application/json"
        return self.twin.ask(method, f"{path}?{query}" if query else path, **request)

    def _part(self, data: st.DataObject, kind: str) -> str:
        ours = self.known.get(kind)
        return data.draw(st.sampled_from(ours)) if ours and data.draw(st.booleans()) else _quoted(self.text(data))

    def _param(self, data: st.DataObject) -> str:
        return str(data.draw(st.sampled_from(_NUMBERS))) if data.draw(st.booleans()) else self.text(data)

    def _headers(self, data: st.DataObject) -> dict[str, Any]:
        chosen = data.draw(st.sampled_from(_HEADERS))
        if chosen is None:
            return {}
        value = self.text(data).encode("utf-8", "surrogatepass")
        return {chosen: bytes(byte for byte in value if byte > 0x20 and byte != 0x7F)}  # what a client can send

    def _filled(self, data: st.DataObject, part: Any) -> Any:
        if part == "TEXT":
            return self.text(data)
        if part == "NUMBER":
            return data.draw(st.sampled_from(_NUMBERS))
        if isinstance(part, dict):
            return {name: self._filled(data, value) for name, value in part.items()}
        if isinstance(part, list):
            return [self._filled(data, each) for each in part]
        return part


_EXAMPLES = [
    {"label": "TEXT", "image": base64_of(_IMAGES[0]), "file_name": "TEXT"},
    {"label": "TEXT", "image": base64_of(_IMAGES[1])},
]
_BODIES: dict[tuple[str, str], list[Any]] = {
    ("POST", "tasks"): [
        {"name": "TEXT", "examples": _EXAMPLES},
        {"examples": _EXAMPLES, "label_mode": "multiple"},
        {"examples": _EXAMPLES, "options": {"C": "NUMBER"}, "capture": {"limit": "NUMBER"}},
        {"examples": _EXAMPLES, "options": {"temperature": "NUMBER"}, "capture": {"days": "NUMBER", "notify": "NUMBER"}},
    ],
    ("POST", "examples"): [{"examples": _EXAMPLES[:1]}, {"examples": _EXAMPLES}],
    ("POST", "predict"): [{"images": [base64_of(_IMAGES[2])], "tasks": ["TEXT"]}, {"images": [base64_of(_IMAGES[2])]}],
    ("POST", "corrections"): [{"prediction": "TEXT", "label": "TEXT"}],
    ("POST", "resolve"): [{"decisions": [{"captures": ["TEXT"], "label": "TEXT"}]}],
    ("POST", "refreshes"): [{"to": "TEXT", "tasks": ["TEXT"]}, {"to": _OTHER, "tasks": ["TEXT"], "max_drop": "NUMBER"}],
    ("POST", "keys"): [{"scope": "write", "task": "TEXT", "expires_in": "NUMBER"}, {"scope": "predict", "task": "TEXT"}],
    ("POST", "rotate"): [{"expires_in": "NUMBER"}],
    ("POST", "backbones"): [{"id": "TEXT"}],
    ("POST", "compare"): [{"candidates": [{"backbone": "TEXT", "options": {"C": "NUMBER"}}]}],
}
_ANY_BODY: list[Any] = [
    {"name": "TEXT"},
    {"active_version": "NUMBER"},
    {"capture": {"limit": "NUMBER", "days": "NUMBER"}},
    {"label": "TEXT"},
]
_REQUESTS = [
    *[("GET", path) for path in ("/v1/tasks", "/v1/events", "/v1/refreshes", "/v1/keys", "/v1/limits", "/v1/key")],
    ("GET", "/v1/tasks/{task}"),
    *[("GET", f"/v1/tasks/{{task}}/{path}") for path in ("versions", "examples", "captures", "quality", "archive", "classifier")],
    ("GET", "/v1/tasks/{task}/examples/{example}/image"),
    ("GET", "/v1/tasks/{task}/captures/{capture}/image"),
    ("GET", "/v1/refreshes/{refresh}"),
    ("GET", "/v1/refreshes/{refresh}/tasks"),
    ("GET", "/v1/backbones/{text}"),
    *[("POST", path) for path in ("/v1/tasks", "/v1/predict", "/v1/refreshes", "/v1/keys", "/v1/backbones")],
    *[("POST", f"/v1/tasks/{{task}}/{path}") for path in ("examples", "predict", "corrections", "captures/resolve", "compare")],
    ("POST", "/v1/keys/{key}/rotate"),
    ("POST", "/v1/refreshes/{refresh}/cancel"),
    ("PATCH", "/v1/tasks/{task}"),
    ("PATCH", "/v1/tasks/{task}"),
    ("PATCH", "/v1/tasks/{task}/examples/{example}"),
    ("PATCH", "/v1/backbones/{text}"),
    ("DELETE", "/v1/tasks/{text}"),
    ("DELETE", "/v1/tasks/{task}/examples/{example}"),
    ("DELETE", "/v1/keys/{text}"),
]
_PARAMS = ("cursor", "limit", "after", "order", "negatives", "tasks", "forget", "top_k", "coverage")
_HEADERS = (None, None, "Idempotency-Key", "X-Request-ID", "Headstart-At-Least", "User-Agent")


def _any_characters() -> st.SearchStrategy[str]:
    return st.text(st.characters(categories=("Cc", "Cs", "Lu", "Ll", "Mn")), max_size=4)


def _quoted(text: str) -> str:
    return quote(text, safe="«»", errors="surrogatepass")


def _json(body: Any) -> str:
    """With escapes for what is no ASCII, but names that stand for ids as they are."""
    return json.dumps(body).replace("\\u00ab", "«").replace("\\u00bb", "»")


@pytest.fixture(scope="module")
def asker(twins: tuple[list[Twin], list[httpx.Client]]) -> Asker:
    """Of a tenant that has some of everything."""
    ours = twins[0][0]
    made = ours.ask("POST", "/v1/tasks", **multipart(list(zip("abab", _IMAGES[:4], strict=True))))
    path = f"/v1/tasks/{made.body['id']}"
    assert ours.ask("POST", f"{path}/predict", **queries(_IMAGES[4:7]), params={"remember": "true"}).status == 200
    assert ours.ask("GET", f"{path}/examples").status == 200
    assert ours.ask("POST", "/v1/keys", json={"scope": "predict"}).status == 201
    refresh = ours.ask("POST", "/v1/refreshes", json={"to": _OTHER, "tasks": "all"})
    ours.await_end(f"/v1/refreshes/{refresh.body['id']}")
    assert all(ours.of_kind(kind) for kind in _NAMES)
    return Asker(ours)


@given(data=st.data())
@settings(
    max_examples=120,
    deadline=None,
    phases=[Phase.generate],  # What was asked before counts, so nothing smaller would be found.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_values_that_a_database_does_not_take_are_answered_alike(asker: Asker, data: st.DataObject) -> None:
    shown = asker.ask(data)
    assert shown.status != 500, shown


def test_texts_are_in_the_same_order(asker: Asker) -> None:
    """Labels of every case and script, some of which collations of a language would put elsewhere."""
    examples = [(label, _IMAGES[number % len(_IMAGES)]) for number, label in enumerate(_LABELS)]
    made = asker.twin.ask("POST", "/v1/tasks", **multipart(examples))
    assert made.status == 201
    for path in ("", "/examples", "/versions", "/quality", "/archive"):
        assert asker.twin.ask("GET", f"/v1/tasks/{made.body['id']}{path}").status == 200
