"""What schemathesis cannot make up: real images, archives of them, ids of what there is, and words that mean something.

It loads this file by `SCHEMATHESIS_HOOKS`; `HEADSTART_URL` is the server under test, and
`HEADSTART_TOKEN` a key of its operators.
"""

import base64
import os
import random
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from server.keys import id_of
from tests.helpers.images import encode, noise
from tests.helpers.uploads import zip_of

_FORMS = ("PNG", "JPEG", "WEBP", "AVIF")
IMAGES = [encode(noise(32, 32, seed=seed), form) for seed, form in enumerate(_FORMS * 2)]
ARCHIVE = zip_of([(f"{label}/{i}.png", IMAGES[i]) for label in ("cat", "dog") for i in (0, 4)])

schemathesis.openapi.format("binary", st.sampled_from(IMAGES))
schemathesis.openapi.format("base64 of an image", st.sampled_from([base64.b64encode(image).decode() for image in IMAGES]))

# What the schema cannot say: of the details of refusals that a case which it calls right may get all the same.
RULES = (
    "the cursor is not one that an earlier page gave",
    "after is not the id of an event",
    "nothing to change; give",
    "this Idempotency-Key was used for another request",
    "the answer to this Idempotency-Key was forgotten",
    "a task needs at least two classes",
    "a task needs at least one label",
    "all examples would have the label",
    "give either label, or labels",
    "a decision has either label or discard",
    "an image of this task has one label",
    "an image of this task may have several labels",
    ", and this task's is ",  # label_mode
    "each text labels is a JSON list",
    "labels of an image: ",
    "coverage is for images judged each alone",
    "the archive is damaged, encrypted or not a zip file",
    "send either an archive, or images with labels",
    "no task is named",
    "name the tasks, or all, in one place",
    "options: ",
    "capture: ",
    "a label ",
    "name is ",
    "name holds ",
    "labels; send one label per image",
    "a key for one task has the scope",
    "Expected `int`, got `float`",
    "Expected `int | null`, got `float`",  # To JSON Schema 2.0 is an integer.
)

_random = random.Random(1)
_TOKEN = os.environ["HEADSTART_TOKEN"]
_client = httpx.Client(base_url=os.environ["HEADSTART_URL"], headers={"Authorization": f"Bearer {_TOKEN}"}, timeout=60)
_tasks: list[str] = []
_refreshes: list[str] = []


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: dict[str, Any]) -> None:
    """Formats in the place of descriptions, so that texts which are images become images."""
    schemas = raw_schema["components"]["schemas"]
    for body in ("PredictBody", "PredictManyBody"):
        schemas[body]["properties"]["images"]["items"]["format"] = "base64 of an image"
    schemas["ExampleBody"]["properties"]["image"]["format"] = "base64 of an image"
    schemas["PipelineBody"]["properties"]["inputs"]["format"] = "base64 of an image"
    for path in raw_schema["paths"].values():
        for operation in path.values():
            for media_type in operation.get("requestBody", {}).get("content", {}).values():
                media_type.pop("example", None)  # "(bytes of the image)", for people


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """An archive in the place of an image that stands for one: the schema tells no more than that both are files."""
    return {**body, "archive": ARCHIVE} if isinstance(body, dict) and body.get("archive") in IMAGES else body


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Most cases that the schema calls right get ids of what there is."""
    given = case.path_parameters or {}
    if given.get("key") == id_of(_TOKEN):  # It is needed yet.
        given["key"] = "0123456789ab"
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE or _random.random() < 0.2:
        return
    if "key" in given:
        given["key"] = _client.post("/v1/keys", json={"scope": "predict"}).json()["id"]
    if "refresh" in given:
        given["refresh"] = _a_refresh()
    if "task" in given:
        given["task"] = _a_task()
    if "example" in given:
        given["example"] = _client.get(f"/v1/tasks/{given['task']}/examples").json()["examples"][0]["id"]


@schemathesis.check
def what_the_schema_allows_is_refused_by_a_known_rule_alone(_context: Any, response: Any, case: Any) -> None:
    """In the place of schemathesis' own check, which knows no rule beyond the schema."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code in {400, 413, 415, 422}:
        detail = response.json()["detail"]
        assert any(rule in detail for rule in RULES), f"{response.status_code}: {detail}"


def _a_task() -> str:
    """One of a few tasks; a new one in the place of one that was deleted."""
    while len(_tasks) < 4:
        answer = _client.post("/v1/tasks", files={"archive": ("a.zip", ARCHIVE)})
        answer.raise_for_status()
        _tasks.append(answer.json()["id"])
    task = _random.choice(_tasks)
    if _client.get(f"/v1/tasks/{task}").status_code == httpx.codes.OK:
        return task
    _tasks.remove(task)
    return _a_task()


def _a_refresh() -> str:
    """One of a few refreshes."""
    if len(_refreshes) < 4:
        default = next(each["id"] for each in _client.get("/v1/backbones").json()["backbones"] if each["default"])
        answer = _client.post("/v1/refreshes", json={"to": default, "tasks": [_a_task()]})
        answer.raise_for_status()
        _refreshes.append(answer.json()["id"])
    return _random.choice(_refreshes)
