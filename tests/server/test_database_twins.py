"""One server on SQLite and one on PostgreSQL: the same requests get the same answers, but for ids and times."""

import json
import random
import re
from base64 import urlsafe_b64encode
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
from tests.helpers.odd_requests import HEADERS, LABELS, NUMBERS, REQUESTS, RIGHT_PARAMS, TEXTS, Odd
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.twins import Shown, Side, Twin
from tests.helpers.uploads import multipart, queries
from tests.server.test_tenant_twins import _IMAGES, _OTHER, OPERATIONS, Walk, bundles, store_captures_soon

__all__ = ["bundles"]

_KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
_NAMES = ("task", "example", "prediction", "refresh", "key")


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
    _walk(twins, seed=1, steps=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_long_histories_are_answered_alike(twins: tuple[list[Twin], list[httpx.Client]], seed: int) -> None:
    _walk(twins, seed, steps=400)


def _walk(twins: tuple[list[Twin], list[httpx.Client]], seed: int, steps: int) -> None:
    """Does every operation by each tenant and then random ones. After each, one asks whatever can be read."""
    (ours, theirs), operators = twins
    rng = random.Random(seed)
    walks = [Walk(ours, theirs, rng, operators), Walk(theirs, ours, rng, operators)]
    paths = operators[0].get("/openapi.json").json()["paths"]
    gets = [path for path, operations in paths.items() if "get" in operations and path.startswith("/v1/")]
    for _, operation in OPERATIONS:
        for walk in walks:
            walk.do(operation)
        rng.choice(walks).look(gets)
    for _ in range(steps):
        rng.choice(walks).step()
        rng.choice(walks).look(gets)


_PART = re.compile(r"\{(\w+)\}")


class Asker:
    """Asks both servers with values that a database may not take.

    Args:
        twin: has a task with captures, a refresh and a second key already.
    """

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        own = twin.ask("GET", "/v1/key").body["id"]
        self.known = {kind: twin.of_kind(kind) for kind in _NAMES}
        self.known["capture"] = self.known["prediction"]
        self.known["key"].remove(own)  # It is needed yet.
        self.ids = [name for names in self.known.values() for name in names]

    def ask(self, data: st.DataObject) -> Shown:
        (method, path), (names, bodies) = data.draw(st.sampled_from(list(REQUESTS.items())))
        path = _PART.sub(lambda found: self._part(data, found[1]), path)
        params = [(name, self._param(data)) for name in names if data.draw(st.booleans())]
        query = "&".join(f"{name}={_quoted(value)}" for name, value in params)
        request: dict[str, Any] = {"headers": self._headers(data)}
        if bodies:
            request["content"] = _json(self._filled(data, data.draw(st.sampled_from(bodies))))
            request["headers"]["Content-Type"] = "application/json"
        return self.twin.ask(method, f"{path}?{query}" if query else path, **request)

    def _part(self, data: st.DataObject, kind: str) -> str:
        """Something of that kind, or of any other, or what nothing is called."""
        if kind not in self.known or data.draw(st.booleans()):
            return _quoted(data.draw(TEXTS))
        return data.draw(st.sampled_from(self.known[kind]) | st.sampled_from(self.ids))

    def _param(self, data: st.DataObject) -> str:
        """A value that is right for one of them, a number, a text, or a cursor that no page gave."""
        odd = data.draw(TEXTS)
        cursor = urlsafe_b64encode(odd.encode("utf-8", "surrogatepass")).decode().rstrip("=")
        number = str(data.draw(st.sampled_from(NUMBERS)))
        return data.draw(st.sampled_from((*RIGHT_PARAMS, odd, cursor, cursor, number)))

    def _headers(self, data: st.DataObject) -> dict[str, Any]:
        chosen = data.draw(st.sampled_from(HEADERS))
        if chosen is None:
            return {}
        value = data.draw(TEXTS).encode("utf-8", "surrogatepass")
        return {chosen: bytes(byte for byte in value if byte > 0x20 and byte != 0x7F)}  # what a client can send

    def _filled(self, data: st.DataObject, part: Any) -> Any:
        """A body with a text, a number or an id in the place of each word for one, or with what is right there."""
        if isinstance(part, dict):
            return {name: self._filled(data, value) for name, value in part.items()}
        if isinstance(part, list):
            return [self._filled(data, each) for each in part]
        if not isinstance(part, Odd):
            return part
        right = self.known.get(part.right, [part.right])
        odd = st.sampled_from(NUMBERS) if isinstance(part.right, int) else TEXTS
        return data.draw(st.sampled_from(right) | odd)


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
    phases=[Phase.generate],  # Earlier requests count too, so nothing smaller would be found.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_values_that_a_database_does_not_take_are_answered_alike(asker: Asker, data: st.DataObject) -> None:
    shown = asker.ask(data)
    assert shown.status != 500, shown


def test_texts_are_in_the_same_order(asker: Asker) -> None:
    """Labels of every case and script, some of which collations of a language would put elsewhere."""
    examples = [(label, _IMAGES[number % len(_IMAGES)]) for number, label in enumerate(LABELS)]
    made = asker.twin.ask("POST", "/v1/tasks", **multipart(examples))
    assert made.status == 201
    for path in ("", "/examples", "/versions", "/quality", "/archive"):
        assert asker.twin.ask("GET", f"/v1/tasks/{made.body['id']}{path}").status == 200
