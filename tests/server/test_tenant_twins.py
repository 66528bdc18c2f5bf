"""Random histories of two tenants of one server: each is answered as on a server where the other does not exist.

Every operation of a tenant goes to the shared server and to one that it has for itself. Answers must be equal but for ids and
times. After each step the tenant that did nothing asks every GET route of the OpenAPI document, with its own ids and the other's.

What tenants share by declaration (SECURITY.md) is kept equal here, so that all else can be compared: the bundles, which are all
open from the start, and time, for which nothing is asked while a refresh of either works.
"""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy

from server.store import capture_writer, tables
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.databases import copy_database, statements_in
from tests.helpers.images import encode, noise
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.twins import ARCHIVE, Shown, Side, Twin
from tests.helpers.uploads import as_json, multipart, queries

_OTHER = "small@2"
_LABELS = ("bird", "cat", "dog")
_IMAGES = [encode(noise(32, 32, seed=seed)) for seed in range(9)]
# Unlike those: the review queue leaves out what is an example already.
_CAPTURED = [encode(noise(n, n, seed=seed).repeat(32 // n, 0).repeat(32 // n, 1)) for n in (1, 2, 4, 8) for seed in range(3)]
_FOREIGN = 0.2  # of the ids that are asked for
_NARROW = 0.2  # of the requests are by another key than the first
_TRIES = 20  # of each operation of the beginning, until one succeeds
_MOST_TASKS = 4
_QUOTAS = (
    ("--every-tenant", "--tasks", str(_MOST_TASKS)),
    ("--tenant", "theirs", "--examples", "900", "--requests-per-minute", "100000"),
)
_KINDS = {"task": "task", "example": "example", "capture": "prediction", "refresh": "refresh", "key": "key"}


def store_captures_soon() -> None:
    capture_writer._GATHER_SECONDS = 0.01


class Walk:
    """One tenant's part of a random history."""

    def __init__(self, twin: Twin, other: Twin, rng: random.Random, operators: list[httpx.Client]) -> None:
        self.twin = twin
        self.other = other
        self.rng = rng
        self.foreign = _FOREIGN
        self._operators = operators

    def step(self) -> None:
        """Does one operation."""
        weights, operations = zip(*OPERATIONS, strict=True)
        self.do(self.rng.choices(operations, weights)[0])

    def do(self, operation: Callable[["Walk"], Shown]) -> int:
        """Does an operation, and returns the status of its answer."""
        shown = operation(self)
        self.twin.done[operation.__name__].add(shown.status)
        return shown.status

    def look(self, gets: list[str]) -> None:
        """Asks every route that only reads."""
        for path in gets:
            parts = {part: self.pick(part) for part in re.findall(r"\{(\w+)\}", path)}
            params = self.rng.choice(({}, {}, {"limit": "1"})) if path in {"/v1/tasks", "/v1/events", "/v1/refreshes"} else {}
            self.ask("GET", path.format(**parts), params=params)

    def ask(self, method: str, path: str, **request: Any) -> Shown:
        """Asks by one of the tenant's keys."""
        token = self.rng.choice(self.twin.tokens) if self.rng.random() < _NARROW else self.twin.token
        return self.twin.ask(method, path, token, **request)

    def pick(self, part: str) -> str:
        """Returns the name of something of the tenant's, which may be gone, or the id of something of the other's."""
        if part == "backbone":
            return self.rng.choice((SMALL, _OTHER))
        kind = _KINDS[part]
        if self.rng.random() < self.foreign and (theirs := self.other.of_kind(kind)):
            id_ = self.other.id_of(self.rng.choice(theirs))
            self.twin.foreign.add(id_)
            return id_
        ours = self.twin.of_kind(kind)
        if part == "task" and self.rng.random() < 0.9:
            ours = self.tasks() or ours
        return self.rng.choice(ours[-8:]) if ours else f"{kind}_none"

    def tasks(self) -> list[str]:
        return [task["id"] for task in self.twin.ask("GET", "/v1/tasks").body["tasks"]]

    def listed(self, what: str, task: str, kind: str) -> str:
        """An example or capture of a task, or another."""
        found = self.twin.ask("GET", f"/v1/tasks/{task}/{what}").body.get(what)
        return self.rng.choice(found)["id"] if found and self.rng.random() > self.foreign else self.pick(kind)

    def images(self, most: int) -> list[bytes]:
        return self.rng.sample(_IMAGES, self.rng.randint(1, most))

    def once(self) -> dict[str, str]:
        """The header of a retry, with a key that both tenants use, or none."""
        key = self.rng.choice(("", "", "1", "2"))
        return {"Idempotency-Key": key} if key else {}

    def room(self) -> None:
        """Deletes a task if there are many, as a rule: else the quota refuses another."""
        if len(tasks := self.tasks()) >= _MOST_TASKS and self.rng.random() < 0.8:
            self.twin.ask("DELETE", f"/v1/tasks/{tasks[-1]}")


def create(walk: Walk) -> Shown:
    walk.room()
    labels = walk.rng.sample(_LABELS, 2)
    examples = [(label, image) for label in labels for image in walk.rng.sample(_IMAGES, 2)]
    body = walk.rng.choice((multipart, as_json))(examples, name=walk.rng.choice(("one", "other")))
    return walk.ask("POST", "/v1/tasks", **body, headers=walk.once())


def add(walk: Walk) -> Shown:
    examples = [(walk.rng.choice(_LABELS), image) for image in walk.images(2)]
    return walk.ask("POST", f"/v1/tasks/{walk.pick('task')}/examples", **multipart(examples), headers=walk.once())


def relabel(walk: Walk) -> Shown:
    task, label = walk.pick("task"), walk.rng.choice((*_LABELS, None))
    return walk.ask("PATCH", f"/v1/tasks/{task}/examples/{walk.listed('examples', task, 'example')}", json={"label": label})


def remove(walk: Walk) -> Shown:
    task, forget = walk.pick("task"), walk.rng.choice(("true", "false"))
    path = f"/v1/tasks/{task}/examples/{walk.listed('examples', task, 'example')}"
    return walk.ask("DELETE", path, params={"forget": forget})


def change(walk: Walk) -> Shown:
    wanted = ({"name": "one"}, {"active_version": walk.rng.randint(1, 4)}, {"capture": {"limit": 3, "notify": 2}})
    return walk.ask("PATCH", f"/v1/tasks/{walk.pick('task')}", json=walk.rng.choice(wanted))


def delete(walk: Walk) -> Shown:
    return walk.ask("DELETE", f"/v1/tasks/{walk.pick('task')}")


def predict(walk: Walk) -> Shown:
    params = walk.rng.choice(({"unknown": "ignore"}, {"coverage": "0.8"}, {"mode": "transductive"}, {"remember": "true"}))
    return walk.ask("POST", f"/v1/tasks/{walk.pick('task')}/predict", **queries(walk.images(3)), params=params)


def predict_elsewhere(walk: Walk) -> Shown:
    return walk.ask("POST", f"/v1/tasks/{walk.pick('task')}/hf", content=walk.images(1)[0])


def predict_many(walk: Walk) -> Shown:
    for tasks in (",".join(walk.pick("task") for _ in range(2)), "all"):
        params = {"tasks": tasks, "unknown": walk.rng.choice(("judge", "ignore"))}
        shown = walk.ask("POST", "/v1/predict", **queries(walk.images(2)), params=params)
    return shown


def capture(walk: Walk) -> Shown:
    """Has predictions captured in the background, and waits until both servers have stored them."""
    path, images = f"/v1/tasks/{walk.pick('task')}", walk.rng.sample(_CAPTURED, walk.rng.randint(1, 2))
    if (answered := walk.twin.ask("PATCH", path, json={"capture": {"keep": "all"}})).status == 200:
        before = [_captured(operator) for operator in walk._operators]
        assert walk.twin.ask("POST", f"{path}/predict", **queries(images)).status == 200
        deadline = time.monotonic() + 30
        while [_captured(operator) for operator in walk._operators] != [count + len(images) for count in before]:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        walk.twin.ask("PATCH", path, json={"capture": {"keep": "none"}})
    return answered


def _captured(operator: httpx.Client) -> float:
    found = re.search(r"^headstart_captures_total (\S+)", operator.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def correct(walk: Walk) -> Shown:
    task = walk.pick("task")
    body = {"prediction": walk.listed("captures", task, "capture"), "label": walk.rng.choice(_LABELS)}
    return walk.ask("POST", f"/v1/tasks/{task}/corrections", json=body, headers=walk.once())


def resolve(walk: Walk) -> Shown:
    task = walk.pick("task")
    decision = walk.rng.choice(({"label": "cat"}, {"label": None}, {"discard": True}))
    decisions = [{"captures": [walk.listed("captures", task, "capture")], **decision}]
    return walk.ask("POST", f"/v1/tasks/{task}/captures/resolve", json={"decisions": decisions}, headers=walk.once())


def compare(walk: Walk) -> Shown:
    candidates = [{"options": {"solver": "prototype"}}, {"backbone": _OTHER}]
    return walk.ask("POST", f"/v1/tasks/{walk.pick('task')}/compare", json={"candidates": candidates})


def restore(walk: Walk) -> Shown:
    """Makes a task of the archive that each server gave last."""
    walk.room()
    walk.ask("GET", f"/v1/tasks/{walk.pick('task')}/archive")
    return walk.ask("POST", "/v1/tasks", files={"archive": ("a.zip", ARCHIVE)}, headers=walk.once())


def refresh(walk: Walk) -> Shown:
    tasks = walk.rng.choice(("all", [walk.pick("task")]))
    body = {"to": walk.rng.choice((SMALL, _OTHER)), "tasks": tasks, "max_drop": walk.rng.choice((0, 1))}
    return _worked(walk, walk.ask("POST", "/v1/refreshes", json=body, headers=walk.once()))


def change_refresh(walk: Walk) -> Shown:
    action = walk.rng.choice(("pause", "resume", "cancel", "rollback", "rollback"))
    return _worked(walk, walk.ask("POST", f"/v1/refreshes/{walk.pick('refresh')}/{action}"))


def _worked(walk: Walk, answered: Shown) -> Shown:
    if answered.status == 202:
        walk.twin.await_end(f"/v1/refreshes/{answered.body['id']}")
    return answered


def make_key(walk: Walk) -> Shown:
    task = walk.pick("task") if walk.rng.random() < 0.4 else None
    body = {"scope": walk.rng.choice(("predict", "write", "manage")), "task": task, "expires_in": 3600}
    return _kept(walk, walk.ask("POST", "/v1/keys", json=body))


def rotate_key(walk: Walk) -> Shown:
    return _kept(walk, walk.ask("POST", f"/v1/keys/{walk.pick('key')}/rotate"))


def _kept(walk: Walk, answered: Shown) -> Shown:
    if answered.status == 201:
        walk.twin.tokens.append(answered.body["token"])
    return answered


def revoke_key(walk: Walk) -> Shown:
    key = walk.pick("key")
    if walk.twin.sides[0].ids.get(key, "none") in walk.twin.id_of(walk.twin.token):
        key = "0123456789ab"  # Not the one that the history needs.
    return walk.ask("DELETE", f"/v1/keys/{key}")


OPERATIONS = (
    (4, create),
    (2, add),
    (1, relabel),
    (2, remove),
    (2, change),
    (3, predict),
    (1, predict_elsewhere),
    (1, predict_many),
    (2, capture),
    (1, correct),
    (1, resolve),
    (1, compare),
    (1, restore),
    (1.5, refresh),
    (1, change_refresh),
    (1, make_key),
    (0.5, rotate_key),
    (0.5, revoke_key),
    (0.5, delete),
)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Path:
    folder = tmp_path_factory.mktemp("twins")
    for version in ("1", "2"):
        small_bundle(shipped_bundle, folder, "small", version)
    return folder


@pytest.fixture
def twins(tmp_path: Path, bundles: Path) -> Iterator[tuple[list[Twin], list[httpx.Client]]]:
    """Two tenants, each on the first server and on one of its own; and clients of the operators of the three."""
    keys = {tenant: _key_of(tmp_path, tenant) for tenant in ("default", "ours", "theirs")}
    for quota in _QUOTAS:
        assert run_server("quotas", "set", *quota, "--data-dir", str(tmp_path / "data"), folder=tmp_path).returncode == 0
    flags = ("--bundles-dir", str(bundles), "--bundle", SMALL)
    with ExitStack() as stack:
        clients = []
        for name, stranger in (("both", ""), ("ours", "theirs"), ("theirs", "ours")):
            folder = tmp_path / name
            copy_database(tmp_path / "data", folder)
            with statements_in(folder) as database:
                for table in (tables.keys, tables.quotas):
                    database.execute(sqlalchemy.delete(table).where(table.c.tenant == stranger))
            server = stack.enter_context(ServerProcess(folder, *flags, prepare=store_captures_soon))
            headers = {"Authorization": f"Bearer {keys['default']}"}
            clients.append(stack.enter_context(httpx.Client(base_url=server.url, headers=headers, timeout=60)))
            assert clients[-1].post("/v1/backbones", json={"id": _OTHER}).status_code == 201
        both, *own = clients
        tenants = zip(("ours", "theirs"), own, strict=True)
        yield [Twin(name, (Side(both, keys[name]), Side(alone, keys[name]))) for name, alone in tenants], clients


def _key_of(folder: Path, tenant: str) -> str:
    flags = ("--tenant", tenant, "--scope", "manage", "--data-dir", str(folder / "data"))
    return run_server("keys", "create", *flags, folder=folder).stdout.strip()


def walk_through(twins: tuple[list[Twin], list[httpx.Client]], seed: int, steps: int) -> None:
    """Walks through a history: every operation by each tenant, on what is the other's and on its own, and then random ones."""
    (ours, theirs), (both, *own) = twins
    rng = random.Random(seed)
    walks = [Walk(ours, theirs, rng, [both, own[0]]), Walk(theirs, ours, rng, [both, own[1]])]
    paths = both.get("/openapi.json").json()["paths"]
    gets = [path for path, operations in paths.items() if "get" in operations]
    assert len(gets) > 15
    for _, operation in OPERATIONS:
        for walk in walks:
            walk.foreign = 1.0
            walk.do(operation)
            walk.foreign = _FOREIGN
            for _ in range(_TRIES):
                if walk.do(operation) < 300:
                    break
                walk.do(capture)  # for those that decide about captures
        rng.choice(walks).look(gets)
    for _ in range(steps):
        actor, other = rng.sample(walks, 2)
        actor.step()
        other.look(gets)
    for _, operation in OPERATIONS:
        assert any(status < 300 for twin in (ours, theirs) for status in twin.done[operation.__name__]), operation.__name__


def test_a_tenant_is_answered_as_if_it_were_alone(twins: tuple[list[Twin], list[httpx.Client]]) -> None:
    walk_through(twins, seed=1, steps=10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_over_long_histories(twins: tuple[list[Twin], list[httpx.Client]], seed: int) -> None:
    walk_through(twins, seed, steps=600)
