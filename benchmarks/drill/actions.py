"""The actions of the clients of a drill, and how often each comes. About as many tasks are made as deleted."""

import hashlib
import io
import uuid
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from benchmarks.drill.client import Answer, token_of
from benchmarks.drill.history import Step, Task, Taught
from benchmarks.drill.load import Load
from benchmarks.shared.setting import creation

_LABELS = ("ant", "bee", "cow")
_LEAST_TASKS = 20


def create(load: Load) -> None:
    """Creates a task of three classes of two images each."""
    support = [(label, _image(load)) for label in _LABELS for _ in range(2)]
    form = creation(support)
    response, tries = load.client.insist("create", "POST", "/v1/tasks", (201,), **form, headers=_key())
    task = Task(response.json()["id"])
    load.acknowledged(task, 1, tries, token_of(response.headers), _taught(support))
    load.made.append(task)
    load.tasks.append(task)


def predict(load: Load) -> None:
    """Asks about an image, in half of the cases with the token of the last change."""
    load.predict(load.any_task(), with_token=load.rng.random() < 0.5)


def add(load: Load) -> None:
    """Adds two examples, and asks the task at once."""
    with load.changing() as task:
        if task is not None:
            added = [(load.rng.choice(_LABELS), _image(load)) for _ in range(2)]
            form = creation(added)
            response, tries = load.client.insist("add", "POST", f"{task.path}/examples", (201,), **form, headers=_key())
            _changed(load, task, response.json()["version"], tries, token_of(response.headers), _now(task) + _taught(added))


def roll_back(load: Load) -> None:
    """Makes an earlier version active."""
    with load.changing() as task:
        others = [version for version in task.taught if version != task.version] if task else []
        if task is None or not others:
            return
        version = load.rng.choice(others)
        response, tries = load.client.insist("roll back", "PATCH", task.path, (200,), json={"active_version": version})
        if all(each.certain for each in tries):
            _changed(load, task, version, tries, token_of(response.headers), task.taught[version])
        else:  # An earlier try may still be under way, and may undo a later change.
            task.open = True


def remove(load: Load) -> None:
    """Removes an example, in half of the cases from all versions."""
    forget = load.rng.random() < 0.5
    with load.changing() as task:
        if task is None:
            return
        classes = Counter(label for label, _ in _now(task))
        some = [(label, sha) for label, sha in _now(task) if classes[label] > 1]
        if not some:
            return
        label, sha = load.rng.choice(some)
        id_ = _examples(load, task)[sha]
        params = {"forget": "true"} if forget else {}
        kind, path = ("forget" if forget else "remove"), f"{task.path}/examples/{id_}"
        response, tries = load.client.insist(kind, "DELETE", path, (200, 404), params=params)
        token = token_of(response.headers)
        if response.status_code == 404:
            if len(tries) == 1:
                load.fails(f"{task.id} has lost example {id_}")
            response, _ = load.client.insist("show", "GET", task.path, (200,), headers=_at_least(load))
        taught = _now(task) - Counter([(label, sha)])
        if forget:
            task.forget(sha)
            load.forgotten.append(sha)
        _changed(load, task, response.json()["version"], tries, token, taught)


def delete(load: Load) -> None:
    """Deletes a task, and asks it once more."""
    if len(load.tasks) < _LEAST_TASKS:
        return
    with load.changing() as task:
        if task is None:
            return
        load.tasks.remove(task)
        response, tries = load.client.insist("delete", "DELETE", task.path, (204, 404))
        token = token_of(response.headers)
        task.steps.append(Step(None, tries[0].sent, tries[-1].received, token))
        load.hears(token)
        load.deleted.append(task)
        load.predict(task, with_token=bool(token), kind="predict deleted")


def correct(load: Load) -> None:
    """Has a prediction remembered, and then corrects it."""
    with load.changing() as task:
        if task is None:
            return
        image, label = _image(load), load.rng.choice(_LABELS)
        asked, _ = load.client.insist("remember", "POST", f"{task.path}/predict?remember=true", (200,), content=image)
        wanted = {"prediction": asked.json()["predictions"][0]["prediction"], "label": label}
        path = f"{task.path}/corrections"
        response, tries = load.client.insist("correct", "POST", path, (201,), json=wanted, headers=_key())
        _changed(
            load, task, response.json()["version"], tries, token_of(response.headers), _now(task) + _taught([(label, image)])
        )


def read_back(load: Load) -> None:
    """Compares a task's examples with what it was taught."""
    with load.changing() as task:
        if task is not None and Counter(_examples(load, task).keys()) != Counter(sha for _, sha in _now(task)):
            load.fails(f"{task.id} has not the examples that it was taught")


def use_key(load: Load) -> None:
    """Makes a key, uses it, revokes it, and uses it again."""
    made, _ = load.client.insist("make key", "POST", "/v1/keys", (201,), json={"scope": "predict"})
    load.hears(token_of(made.headers))
    for kind, expected in (("use key", 200), ("use revoked key", 401)):
        headers = {"Authorization": f"Bearer {made.json()['token']}", **_at_least(load)}
        response, answer = load.client.ask(kind, "GET", "/v1/key", headers=headers)
        if response is not None and response.status_code not in (expected, 502, 503, 504):
            load.fails(f"{kind}: {answer.outcome}")
        if expected == 200:
            revoked, _ = load.client.insist("revoke key", "DELETE", f"/v1/keys/{made.json()['id']}", (204, 404))
            load.hears(token_of(revoked.headers))


MIX: Sequence[tuple[float, Callable[[Load], None]]] = [
    (30.0, predict),
    (0.5, create),
    (0.5, delete),
    (1.5, add),
    (0.7, roll_back),
    (0.8, remove),
    (0.4, correct),
    (0.4, read_back),
    (0.2, use_key),
]
"""Actions, and how many of each a second at the usual rate."""


def _changed(load: Load, task: Task, version: int, tries: Sequence[Answer], token: int, taught: Taught) -> None:
    load.acknowledged(task, version, tries, token, taught)
    load.predict(task, with_token=True, kind="predict changed")


def _now(task: Task) -> Taught:
    assert task.version is not None
    return task.taught[task.version]


def _examples(load: Load, task: Task) -> dict[str, str]:
    """Returns the ids of a task's examples by the sha256 of their images."""
    path = f"{task.path}/examples?limit=1000"
    response, _ = load.client.insist("examples", "GET", path, (200,), headers=_at_least(load))
    return {example["sha256"]: example["id"] for example in response.json()["examples"]}


def _taught(examples: Sequence[tuple[str, bytes]]) -> Taught:
    return Counter((label, hashlib.sha256(image).hexdigest()) for label, image in examples)


def _key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def _at_least(load: Load) -> dict[str, str]:
    return {"Headstart-At-Least": str(load.token)} if load.token else {}


def _image(load: Load) -> bytes:
    """Returns an image that no other is like."""
    pixels = np.random.default_rng(load.rng.getrandbits(64)).integers(0, 256, (32, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((8, 8)).resize((32, 32)).save(file, "PNG")
    return file.getvalue()
