"""Request bodies in the forms that the API takes, for tests."""

import base64
import io
import zipfile
from collections.abc import Sequence
from typing import Any

import httpx

Labelled = Sequence[tuple[str, bytes]]


def multipart(examples: Labelled, **fields: str) -> dict[str, Any]:
    """Keyword arguments of `httpx.Client.post` for files `images` and texts `labels`."""
    return {
        "files": [("images", (f"{i}.bin", image)) for i, (_, image) in enumerate(examples)],
        "data": {"labels": [label for label, _ in examples], **fields},
    }


def as_json(examples: Labelled, **fields: Any) -> dict[str, Any]:
    return {"json": {"examples": [{"label": label, "image": base64_of(image)} for label, image in examples], **fields}}


def as_archive(members: Sequence[tuple[str, bytes]], **fields: str) -> dict[str, Any]:
    """A zip of (path, content)."""
    return {"files": [("archive", ("a.zip", zip_of(members)))], "data": fields}


def zip_of(members: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, content in members:
            archive.writestr(path, content)
    return buffer.getvalue()


def queries(images: Sequence[bytes]) -> dict[str, Any]:
    return {"files": [("images", (f"{i}.bin", image)) for i, image in enumerate(images)]}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def create(api: httpx.Client, examples: Labelled, **fields: str) -> dict[str, Any]:
    """Creates a task and returns its JSON."""
    response = api.post("/v1/tasks", **multipart(examples, **fields))
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def predict(api: httpx.Client, task: str, images: Sequence[bytes]) -> list[dict[str, Any]]:
    """The predictions for images sent together."""
    response = api.post(f"/v1/tasks/{task}/predict", **queries(images))
    assert response.status_code == 200, response.text
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


def answers(api: httpx.Client, task: str, images: Sequence[bytes]) -> list[dict[str, Any]]:
    """The predictions without the ids of examples: alike for tasks of the same images."""
    return [
        {**one, "nearest": [(neighbour["label"], neighbour["similarity"]) for neighbour in one["nearest"]]}
        for one in predict(api, task, images)
    ]


def mislabelled(examples: Labelled, every: int) -> list[tuple[str, bytes]]:
    """Every so-manieth example under its neighbouring class."""
    names = sorted({label for label, _ in examples})
    after = dict(zip(names, names[1:] + names[:1], strict=True))
    return [(after[label] if i % every == 0 else label, image) for i, (label, image) in enumerate(examples)]
