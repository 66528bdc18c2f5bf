"""The files by which other tools say what images show. Each reader takes a file's text, and knows nothing of images.

- Label Studio: the export `JSON`, https://labelstud.io/guide/task_format
- Azure Custom Vision: the images that its training API lists, `GetImages` and `GetTaggedImages`, as it answers or as its Python
  SDK writes them
- Roboflow: `_classes.csv` of its export `Multi-Label Classification`, a column of 0 and 1 for each class
"""

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts this before the names of files that are uploaded


class UnknownFormat(Exception):
    """A file is not of the form that it seems to have. The message says which."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """An image with its labels.

    Attributes:
        names: by which its file may be called, with or without folders, the likeliest first; at least one.
        labels: none if nobody gave it one.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]


def label_studio(text: str) -> list[Annotated]:
    """Reads the export `JSON`. Of an image's annotations the last counts that was not cancelled, and of that all choices.

    Returns:
        Nothing for other JSON.

    Raises:
        UnknownFormat: it is no JSON.
    """
    found = []
    for entry in _entries(_json(text)):
        data, annotations = entry.get("data"), entry.get("annotations")
        if isinstance(data, dict) and isinstance(annotations, list):
            address = next((each for each in data.values() if isinstance(each, str) and each), "")
            found.append(Annotated(_names(address), _choices(annotations)))
    return found


def custom_vision(text: str) -> list[Annotated]:
    """Reads a list of images with `id` and `tags`, or an object that has such a list as `images`.

    Returns:
        Nothing for other JSON.

    Raises:
        UnknownFormat: it is no JSON.
    """
    document = _json(text)
    found = []
    for entry in _entries(document.get("images") if isinstance(document, dict) else document):
        id_, tags = entry.get("id"), entry.get("tags")
        if isinstance(id_, str) and id_ and isinstance(tags, list):
            own = [each for key in ("saved_path", "original_filename") if isinstance(each := entry.get(key), str) and each]
            names = (id_, f"image_{id_}", *(PurePosixPath(each.replace("\\", "/")).name for each in own))
            found.append(Annotated(names, tuple(filter(None, map(_tag, tags)))))
    return found


def one_hot(text: str) -> list[Annotated]:
    """Reads a table with a column `filename`, and one of 0 and 1 for each class.

    Raises:
        UnknownFormat: it is another table.
    """
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise UnknownFormat(f"_classes.csv is no table: {error}") from error
    if not rows or rows[0][0] != "filename" or len(rows[0]) < 2:
        raise UnknownFormat("_classes.csv has no column `filename` with a column for each class after it")
    header, *images = rows
    if any(len(row) != len(header) or not {*row[1:]} <= {"0", "1"} for row in images):
        raise UnknownFormat("_classes.csv has a row without a 0 or a 1 for each class")
    return [
        Annotated((row[0],), tuple(label for label, has in zip(header[1:], row[1:], strict=True) if has == "1")) for row in images
    ]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnknownFormat(f"the file is no JSON: {error}") from error


def _entries(document: Any) -> list[dict[str, Any]]:
    return [entry for entry in document if isinstance(entry, dict)] if isinstance(document, list) else []


def _choices(annotations: list[Any]) -> tuple[str, ...]:
    made = [each for each in annotations if isinstance(each, dict) and not each.get("was_cancelled")]
    results = made[-1].get("result") if made else None
    labels: list[str] = []
    for result in _entries(results):
        value = result.get("value")
        if result.get("type") == "choices" and isinstance(value, dict) and isinstance(value.get("choices"), list):
            labels += [each for each in value["choices"] if isinstance(each, str) and each.strip()]
    return tuple(labels)


def _names(address: str) -> tuple[str, ...]:
    """Returns the names that the file behind an address may have: `/data/upload/1/0a1b2c3d-cat.jpg`, `s3://bucket/cat.jpg`, …"""
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d", [""])[0]  # /data/local-files/?d=folder/cat.jpg
    except ValueError:
        return (address,)
    path = local or unquote(parts.path)
    name = PurePosixPath(path).name
    return (path.lstrip("/") or address, name or address, _UPLOADED.sub("", name) or address)


def _tag(tag: Any) -> str:
    name = (tag.get("tagName") or tag.get("tag_name")) if isinstance(tag, dict) else tag
    return name.strip() if isinstance(name, str) else ""
