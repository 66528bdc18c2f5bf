"""Two tenants with equal contents on one server: whatever one asks by the other's ids is answered as if these never were."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import ROUTES
from server.ids import new_id
from tests.helpers.bundles import SMALL
from tests.helpers.images import encode, noise
from tests.helpers.open_inference import triton_request
from tests.helpers.problems import assert_problem
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.uploads import create, multipart, queries

_IMAGES = [encode(noise(32, 32, seed=seed)) for seed in range(6)]
_EXAMPLES = [("cat", _IMAGES[0]), ("cat", _IMAGES[1]), ("dog", _IMAGES[2]), ("dog", _IMAGES[3])]
_KEY = {"Idempotency-Key": "the same of both"}
_PARTS = {"task": "task", "example": "example", "capture": "prediction", "refresh": "refresh", "key": "key", "model": "task"}


@dataclass
class Tenant:
    """A tenant's client, and the ids of what it has."""

    api: httpx.Client
    ids: dict[str, str]


def furnished(api: httpx.Client) -> Tenant:
    """A tenant with a task, a captured prediction, an answered retry, a refresh that has ended, and two keys."""
    task = create(api, _EXAMPLES)["id"]
    added = api.post(f"/v1/tasks/{task}/examples", **multipart([("cat", _IMAGES[4])]), headers=_KEY)
    assert added.status_code == 201
    assert "idempotent-replayed" not in added.headers, "another tenant's answer"
    remembered = api.post(f"/v1/tasks/{task}/predict?remember=true", **queries(_IMAGES[5:])).json()["predictions"]
    example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
    refresh = api.post("/v1/refreshes", json={"to": SMALL, "tasks": "all"}).json()
    assert sum(refresh["tasks"].values()) == 1, "the caller's own"
    deadline = time.monotonic() + 30
    while api.get(f"/v1/refreshes/{refresh['id']}").json()["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    key = api.post("/v1/keys", json={"scope": "predict"}).json()["id"]
    prediction = remembered[0]["prediction"]
    ids = {"task": task, "example": example, "capture": prediction, "refresh": refresh["id"], "key": key, "model": task}
    return Tenant(api, ids)


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[tuple[Tenant, Tenant]]:
    folder = tmp_path_factory.mktemp("tenants")
    keys = [key_of(folder, tenant) for tenant in ("ours", "theirs")]
    with (
        ServerProcess(folder / "data", *small_flags) as process,
        httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {keys[0]}"}, timeout=60) as ours,
        httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {keys[1]}"}, timeout=60) as theirs,
    ):
        yield furnished(ours), furnished(theirs)


def key_of(folder: Path, tenant: str) -> str:
    made = run_server(
        "keys", "create", "--tenant", tenant, "--scope", "manage", "--data-dir", str(folder / "data"), folder=folder
    )
    return made.stdout.strip()


def state(tenant: Tenant) -> dict[str, Any]:
    """All that a tenant can see of its own."""
    task, refresh = tenant.ids["task"], tenant.ids["refresh"]
    of_task = [
        f"/v1/tasks/{task}{part}" for part in ("", "/versions", "/examples", "/captures", "/quality", "/archive", "/classifier")
    ]
    others = ["/v1/tasks", "/v1/events", "/v1/refreshes", f"/v1/refreshes/{refresh}/tasks", "/v1/keys", "/v1/backbones"]
    others += ["/v2/models/stats", *(f"/v2/models/{task}{part}" for part in ("", "/config", "/ready"))]
    shown = {}
    for path in [*of_task, *others]:
        answered = tenant.api.get(path)
        assert answered.status_code == 200, path
        shown[path] = re.sub(rb'"last_used_at":[^,}]*', b"", answered.content)
    return shown


def request_of(method: str, path: str, ids: dict[str, str]) -> dict[str, Any]:
    """A request to a route that would do something, by these ids."""
    bodies: dict[str, dict[str, Any]] = {
        "PATCH /v1/tasks/{task}": {"json": {"name": "taken"}},
        "POST /v1/tasks/{task}/examples": {**multipart(_EXAMPLES), "headers": _KEY},
        "PATCH /v1/tasks/{task}/examples/{example}": {"json": {"label": "dog"}},
        "DELETE /v1/tasks/{task}/examples/{example}": {"params": {"forget": "true"}},
        "POST /v1/tasks/{task}/predict": queries(_IMAGES[:1]),
        "POST /v1/tasks/{task}/hf": {"content": _IMAGES[0]},
        "POST /v1/predict": {**queries(_IMAGES[:1]), "params": {"tasks": ids["task"]}},
        "POST /v1/tasks/{task}/captures/resolve": {"json": {"decisions": [{"captures": [ids["capture"]], "label": "cat"}]}},
        "POST /v1/tasks/{task}/corrections": {"json": {"prediction": ids["capture"], "label": "cat"}},
        "POST /v1/refreshes": {"json": {"to": SMALL, "tasks": [ids["task"]]}},
        "POST /v1/keys": {"json": {"scope": "write", "task": ids["task"]}},
        **{f"POST /v2/models/{{model}}{version}/infer": triton_request(_IMAGES[:1]) for version in ("", "/versions/{version}")},
    }
    parts = {**ids, "backbone": "x", "version": "1", "iteration": "1"}
    return {"method": method, "url": path.format(**parts), **bodies.get(f"{method} {path}", {})}


def answer(tenant: Tenant, method: str, path: str, ids: dict[str, str]) -> tuple[int, bytes, list[str]]:
    """The answer without the ids that were asked for and that of the request."""
    response = tenant.api.request(**request_of(method, path, ids))
    said = response.content
    for id_ in {*ids.values(), response.headers["x-request-id"]}:
        said = said.replace(id_.encode(), b"ID")
    return response.status_code, said, sorted(response.headers.keys() - {"content-length"})


def test_what_is_foreign_is_answered_as_what_never_was(tenants: tuple[Tenant, Tenant]) -> None:
    ours, theirs = tenants
    before = state(theirs), state(ours)
    never = {part: new_id(kind) for part, kind in _PARTS.items()}
    asked = 0
    named = {"POST /v1/predict": {"task"}, "POST /v1/refreshes": {"task"}, "POST /v1/keys": {"task"}}
    named |= {f"POST /v1/tasks/{{task}}/{what}": {"task", "capture"} for what in ("captures/resolve", "corrections")}
    for route in ROUTES:
        for method in route.methods or ():
            parts = named.get(f"{method} {route.path}", set()) | (set(route.param_convertors) & _PARTS.keys())
            for own in [set(), *([{"task"}] if len(parts) > 1 else [])] if parts else []:
                kept = {part: ours.ids[part] for part in own}
                foreign = answer(ours, method, route.path, {**theirs.ids, **kept})
                assert foreign == answer(ours, method, route.path, {**never, **kept}), (method, route.path)
                assert foreign[0] == 404, (method, route.path, foreign)
                asked += 1
    assert asked > 30
    assert (state(theirs), state(ours)) == before, "nothing changed, and nothing was told as an event"


def test_nothing_that_a_tenant_sees_names_the_other(tenants: tuple[Tenant, Tenant]) -> None:
    ours, theirs = tenants
    seen = b"".join(state(ours).values())
    seen += ours.api.post("/v1/predict?tasks=all", **queries(_IMAGES[:1])).content
    seen += ours.api.post("/v2/repository/index").content
    assert all(id_.encode() not in seen for id_ in theirs.ids.values())
    assert b"theirs" not in seen
    assert ours.ids["task"].encode() in seen


def test_counts_are_of_the_own_tasks(tenants: tuple[Tenant, Tenant]) -> None:
    for tenant in tenants:
        backbones = tenant.api.get("/v1/backbones").json()["backbones"]
        assert [each["active_tasks"] for each in backbones if each["id"] == SMALL] == [1]
        assert_problem(tenant.api.get("/metrics"), 403, "forbidden")
        assert_problem(tenant.api.post("/v1/backbones", json={"id": SMALL}), 403, "forbidden")
