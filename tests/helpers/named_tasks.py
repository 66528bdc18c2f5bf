"""Tasks whose classes are colours, and images that show them, for a server with a bundle of `text_bundles`."""

import io
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.images import encode
from tests.helpers.uploads import multipart

COLOURS = ["red", "green", "blue"]


def picture(colour: str, seed: int, strength: float = 60.0) -> bytes:
    """Noise with some more of a colour."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(110, 25, (4, 4, 3)) + strength * np.eye(3)[COLOURS.index(colour)]
    return encode(np.kron(np.clip(pixels, 0, 255), np.ones((8, 8, 1))).astype(np.uint8))


def examples(shots: int, names: Sequence[str] = COLOURS, strength: float = 60.0) -> list[tuple[str, bytes]]:
    return [
        (name, picture(colour, 10 * i + k, strength))
        for k, (colour, name) in enumerate(zip(COLOURS, names, strict=True))
        for i in range(shots)
    ]


def named(api: httpx.Client, classes: Sequence[str] = COLOURS, **fields: Any) -> dict[str, Any]:
    response = api.post("/v1/tasks", json={"name": "named", "classes": list(classes), **fields})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def added(api: httpx.Client, task: str, new: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    response = api.post(f"/v1/tasks/{task}/examples", **multipart(new))
    assert response.status_code == 201, response.text
    changed: dict[str, Any] = response.json()
    return changed


def sizes(task: Mapping[str, Any]) -> dict[str, int]:
    return {entry["label"]: entry["examples"] for entry in task["classes"]}


def embedding(image: bytes) -> NDArray[np.float64]:
    """The mean colours of an image's 16 squares, channel by channel, as `small_bundle` embeds it."""
    pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"), np.float64) / 255.0
    means: NDArray[np.float64] = pixels.reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)
    return means


@contextmanager
def new_tasks_on(api: httpx.Client, bundle: str, then: str) -> Iterator[None]:
    """For the length of the block, new tasks get a bundle; and then another one."""
    assert api.post("/v1/backbones", json={"id": bundle}).is_success
    assert api.patch(f"/v1/backbones/{bundle}", json={"default": True}).is_success
    yield
    assert api.patch(f"/v1/backbones/{then}", json={"default": True}).is_success


def without_the_extra() -> None:
    """Has this process find no library that reads text."""
    sys.modules["tokenizers"] = None  # type: ignore[assignment]


def refreshed(api: httpx.Client, to: str, tasks: Sequence[str]) -> dict[str, Any]:
    """The rows of a refresh of some tasks, by task."""
    refresh = api.post("/v1/refreshes", json={"to": to, "tasks": list(tasks), "max_drop": 1})
    assert refresh.status_code in {201, 202}, refresh.text
    id_ = refresh.json()["id"]
    while api.get(f"/v1/refreshes/{id_}").json()["state"] in {"waiting", "running"}:
        time.sleep(0.02)
    return {row["task"]: row for row in api.get(f"/v1/refreshes/{id_}/tasks").json()["tasks"]}
