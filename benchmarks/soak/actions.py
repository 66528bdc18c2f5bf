"""The actions of callers in a soak, and how often each comes. Each leaves as many tasks, keys and bundles as there were."""

import base64
import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.shared.setting import creation
from benchmarks.soak.caller import Caller, Task, Unexpected
from benchmarks.soak.hostile import cut_off, hostile

_MOST_EXAMPLES = 30
_REFRESH_SECONDS = 120.0
_CAPTURE = {"keep": "all", "limit": 20}

Action = Callable[[Caller], None]


def create_task(caller: Caller) -> None:
    """Creates a task, as a form or as JSON, and asks for the answer again."""
    support, key = caller.support(5), {"Idempotency-Key": uuid.uuid4().hex}
    capture = _CAPTURE if caller.rng.random() < 0.5 else {"keep": "uncertain", "limit": 20}
    request: dict[str, Any] = creation(support)
    request["data"]["capture"] = json.dumps(capture)
    if caller.rng.random() < 0.5:
        examples = [{"label": label, "image": base64.b64encode(image).decode()} for label, image in support]
        request = {"json": {"capture": capture, "examples": examples}}
    path = caller.ask("create", "POST", "/v1/tasks", (201,), **request, headers=key).headers["location"]
    if caller.rng.random() < 0.2:
        caller.ask("create again", "POST", "/v1/tasks", (201,), **request, headers=key)
    caller.pool.add(Task(path, len(support)))


def delete_task(caller: Caller) -> None:
    """Deletes the oldest task."""
    with caller.pool.borrow(caller.rng, oldest=True) as tasks:
        for task in tasks:
            caller.pool.remove(task)
            caller.ask("delete", "DELETE", task.path, (204,))


def replace_task(caller: Caller) -> None:
    """Creates a task and deletes the oldest."""
    create_task(caller)
    delete_task(caller)


def predict(caller: Caller) -> None:
    """Sends one image as it is."""
    task = caller.pool.any(caller.rng)
    content: dict[str, Any] = {"content": caller.image(), "headers": {"Content-Type": "application/octet-stream"}}
    caller.ask("predict", "POST", f"{task.path}/predict", task=task, **content)


def predict_several(caller: Caller) -> None:
    """Sends a form of several images, with one of the options."""
    task = caller.pool.any(caller.rng)
    params = caller.rng.choice([{}, {"mode": "transductive"}, {"coverage": "0.9"}, {"top_k": "2"}, {"unknown": "ignore"}])
    files = [("images", caller.image()) for _ in range(caller.rng.randint(2, 10))]
    caller.ask("predict several", "POST", f"{task.path}/predict", task=task, files=files, params=params)


def predict_many_tasks(caller: Caller) -> None:
    """Asks all tasks about one image."""
    params = {"tasks": "all", **caller.rng.choice(({"top_k": "1"}, {"unknown": "judge"}, {"top_k": "3"}))}
    caller.ask("predict many tasks", "POST", "/v1/predict", params=params, files=[("images", caller.image())])


def change_examples(caller: Caller) -> None:
    """Adds examples, a negative among them, relabels one, rolls back, removes and forgets, so that a task keeps its size."""
    with caller.pool.borrow(caller.rng) as tasks:
        for task in tasks:
            added = {**creation(caller.support(1)[:2]), "headers": {"Idempotency-Key": uuid.uuid4().hex}}
            added["files"].append(("negatives", caller.image()))
            for kind in ("add", "add again"):
                caller.ask(kind, "POST", f"{task.path}/examples", (201,), **added)
            examples = caller.ask("examples", "GET", f"{task.path}/examples").json()["examples"]
            one, other = (each["id"] for each in caller.rng.sample(examples, 2))
            caller.ask("example image", "GET", f"{task.path}/examples/{other}/image")
            new = caller.ask("relabel", "PATCH", f"{task.path}/examples/{one}", json={"label": caller.images[0][0]}).json()
            versions = caller.ask("versions", "GET", f"{task.path}/versions").json()["versions"]
            for version in (caller.rng.choice(versions)["version"], new["version"]):
                caller.ask("roll back", "PATCH", task.path, json={"active_version": version})
            caller.ask("remove", "DELETE", f"{task.path}/examples/{other}", (200, 422))  # 422: the last of its class
            while len(ids := _ids(caller, task)) > task.examples:
                caller.ask(
                    "forget", "DELETE", f"{task.path}/examples/{caller.rng.choice(ids)}", (200, 422), params={"forget": "true"}
                )


def _ids(caller: Caller, task: Task) -> list[str]:
    found = caller.ask("examples", "GET", f"{task.path}/examples", params={"limit": 1000}).json()["examples"]
    return [each["id"] for each in found]


def review(caller: Caller) -> None:
    """Remembers predictions, and decides about what the review queue holds."""
    with caller.pool.borrow(caller.rng) as tasks:
        for task in tasks:
            files = [("images", caller.image()) for _ in range(3)]
            asked = caller.ask("remember", "POST", f"{task.path}/predict", params={"remember": "true"}, files=files).json()
            corrected = {"prediction": asked["predictions"][0]["prediction"], "label": caller.images[0][0]}
            caller.ask("correct", "POST", f"{task.path}/corrections", (201,), json=corrected)
            queue = caller.ask("captures", "GET", f"{task.path}/captures", params={"order": "newest"}).json()["captures"]
            if queue:
                caller.ask("capture image", "GET", queue[0]["image"])
                labels: tuple[dict[str, Any], ...] = ({"label": caller.images[-1][0]}, {"discard": True}, {"label": None})
                decisions = [{"captures": [each["id"]], **choice} for each, choice in zip(queue, labels, strict=False)]
                # 404: a prediction meanwhile made an older capture leave.
                path, body = f"{task.path}/captures/resolve", {"decisions": decisions}
                caller.ask("resolve", "POST", path, (200, 201, 404), json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
            while len(ids := _ids(caller, task)) > _MOST_EXAMPLES:
                caller.ask("remove", "DELETE", f"{task.path}/examples/{ids[0]}", (200, 422))
                if len(_ids(caller, task)) == len(ids):
                    break


def read(caller: Caller) -> None:
    """Reads what a page or a monitor reads."""
    task = caller.pool.any(caller.rng)
    of_task = [task.path, f"{task.path}/versions", f"{task.path}/examples", f"{task.path}/quality", f"{task.path}/captures"]
    others = [
        "/v1/tasks",
        "/v1/backbones",
        "/v1/limits",
        "/v1/refreshes",
        "/v1/keys",
        "/v1/key",
        "/healthz",
        "/readyz",
        "/metrics",
    ]
    page = ["/", "/docs", "/openapi.json", "/page/page.js"]
    for path in (caller.rng.choice(of_task), caller.rng.choice(others), caller.rng.choice(page)):
        caller.ask("read", "GET", path, task=task)


def events(caller: Caller) -> None:
    """Reads the events since it last asked."""
    params = {"after": caller.last_event or "latest"}
    caller.last_event = caller.ask("events", "GET", "/v1/events", params=params).json()["next"]


def compare(caller: Caller) -> None:
    """Compares solvers and open backbones."""
    task = caller.pool.any(caller.rng)
    caller.ask("compare", "POST", f"{task.path}/compare", (200, 409), task)  # 409: the task is changed all the time


def archive(caller: Caller) -> None:
    """Saves a task, makes it again from the archive, and deletes the oldest task for that."""
    with caller.pool.borrow(caller.rng) as tasks:
        for task in tasks:
            saved = caller.ask("archive", "GET", f"{task.path}/archive").content
            made = caller.ask("create from archive", "POST", "/v1/tasks", (201,), files=[("archive", ("a.zip", saved))])
            caller.pool.add(Task(made.headers["location"], sum(each["examples"] for each in made.json()["classes"])))
    delete_task(caller)


def keys(caller: Caller) -> None:
    """Makes a key of the tenant and one of a task, uses them, rotates, and revokes all."""
    task, other = caller.pool.any(caller.rng), caller.pool.any(caller.rng)
    made = caller.ask("make key", "POST", "/v1/keys", (201,), json={"scope": "write", "expires_in": 3600}).json()
    fresh = caller.ask("rotate key", "POST", f"/v1/keys/{made['id']}/rotate", (201,), json={"expires_in": 60}).json()
    narrow = caller.ask("make key", "POST", "/v1/keys", (201,), task=task, json={"scope": "predict", "task": task.id}).json()
    for key in (made, fresh):
        caller.ask("use key", "GET", "/v1/key", headers={"Authorization": f"Bearer {key['token']}"})
    if other is not task:
        caller.ask("use key", "GET", other.path, (404,), headers={"Authorization": f"Bearer {narrow['token']}"})
    for key in (made, fresh, narrow):
        caller.ask("revoke key", "DELETE", f"/v1/keys/{key['id']}", (204,))
        caller.ask("use key", "GET", "/v1/key", (401,), headers={"Authorization": f"Bearer {key['token']}"})


MIX: Sequence[tuple[float, Action]] = (
    (40, predict),
    (10, predict_several),
    (6, predict_many_tasks),
    (5, replace_task),
    (4, change_examples),
    (4, review),
    (10, read),
    (3, events),
    (0.2, compare),
    (0.5, archive),
    (0.5, keys),
    (8, hostile),
    (3, cut_off),
)
"""The actions of a soak, each with its weight."""


def refresh(caller: Caller, bundles: Sequence[str], count: int = 3) -> None:
    """Moves some tasks to a bundle and back, once by a rollback and once by another refresh."""
    with caller.pool.borrow(caller.rng, count) as tasks:
        moved = _refreshed(caller, bundles[1], tasks)
        if caller.rng.random() < 0.5:
            caller.ask("roll back refresh", "POST", f"{moved}/rollback", (202,))
            _await(caller, moved, "rolling_back")
        _refreshed(caller, bundles[0], tasks)


def _refreshed(caller: Caller, bundle: str, tasks: Sequence[Task]) -> str:
    body = {"to": bundle, "tasks": [task.id for task in tasks], "max_drop": 1}
    path: str = caller.ask("refresh", "POST", "/v1/refreshes", (202,), json=body).headers["location"]
    _await(caller, path, "running")
    return path


def _await(caller: Caller, path: str, state: str) -> None:
    deadline = time.monotonic() + _REFRESH_SECONDS
    while caller.ask("show refresh", "GET", path).json()["state"] == state:
        if time.monotonic() > deadline:
            caller.tally.count("refresh", "too late", False)
            raise Unexpected
        time.sleep(0.5)


def open_and_close(caller: Caller, bundle: str) -> None:
    """Opens a bundle that no other caller uses, serves a task on it, and closes it."""
    usual = caller.ask("backbones", "GET", "/v1/backbones").json()["default"]
    caller.ask("open bundle", "POST", "/v1/backbones", (200, 201), json={"id": bundle})  # 200: a comparison opened it
    candidates = {"candidates": [{"backbone": bundle}]}
    with caller.pool.borrow(caller.rng) as tasks:
        for task in tasks:
            caller.ask("compare", "POST", f"{task.path}/compare", json=candidates)
    caller.ask("close default", "DELETE", f"/v1/backbones/{usual}", (409,))
    caller.ask("close bundle", "DELETE", f"/v1/backbones/{bundle}", (204,))
